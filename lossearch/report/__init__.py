"""A run as an HTML report, losses as curves, and graphs as pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossearch.report.curves import loss_curves, plot_loss
    from lossearch.report.graph_drawing import draw_graph
    from lossearch.report.page import write_report
    from lossearch.report.several_page import write_reports

__all__ = ["draw_graph", "loss_curves", "plot_loss", "write_report", "write_reports"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: PyTorch takes seconds to import."""
    if name == "write_report":
        from lossearch.report.page import write_report

        return write_report
    if name == "write_reports":
        from lossearch.report.several_page import write_reports

        return write_reports
    if name == "draw_graph":
        from lossearch.report.graph_drawing import draw_graph

        return draw_graph
    if name in __all__:
        from lossearch.report import curves

        return getattr(curves, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
