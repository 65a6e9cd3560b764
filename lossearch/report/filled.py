"""Pages that open without a network: templates filled in, with style, script, figures and plotly.js inside."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lossearch.comparison.verdict import p_text
from lossearch.report.figures import Figure
from lossearch.version import __version__


def filled(template: str, figures: Mapping[str, Figure], **values: Any) -> str:
    """A page.

    Args:
        template: its file.
        figures: by the names that the template gives their places.
        values: that the template uses.
    """
    environment = Environment(
        loader=PackageLoader("lossearch", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=1, ensure_ascii=False)
    environment.globals |= {"duration": duration, "day": day, "p_text": p_text, "mathml": Markup}
    return environment.get_template(template).render(
        **values,
        figures=_json(figures),
        version=__version__,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=Markup(_asset("report.css")),
        script=Markup(_asset("report.js")),
        plotly=Markup(_plotly()),
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 0.1:
        return f"{1000 * seconds:.2g} ms" if seconds > 0.0 else "0 s"
    if seconds < 10.0:
        return f"{seconds:.2g} s"
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    if seconds > 1e9 * 3600.0:
        return "forever"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def day(moment: str | float) -> str:
    """A time of an archive, as text or seconds since the epoch, to the minute in UTC."""
    if isinstance(moment, str):
        try:
            parsed = datetime.fromisoformat(moment)
        except ValueError:
            return moment
        moment = parsed.timestamp()
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # of a clock that was wrong, or of a damaged archive
        return "an unknown day"


def _json(value: Mapping[str, Any]) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _asset(name: str) -> str:
    return resources.files("lossearch.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    """plotly.js, compressed: a third of its five megabytes."""
    from plotly.offline import get_plotlyjs  # a second that only a report should cost

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode("ascii")
