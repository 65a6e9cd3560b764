"""A card as a page of Markdown, for a person, with its facts in a block at the end, for a program."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator

from lossearch.cards.card import FENCE, Card, CardTask, HeldOut
from lossearch.comparison.verdict import Units, p_text
from lossearch.tasks import metrics
from lossearch.tasks.directions import in_words

_TOLD = ("lossearch", "torch", "numpy", "ray", "python", "system", "machine")


def render(card: Card) -> str:
    """The page."""
    return "\n".join(line.rstrip() for line in _lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    yield f"# {_text(card.name)}"
    yield from ("", _text(f"A loss for PyTorch: {card.source or 'of unknown origin'}."), "")
    yield from _indented(card.formula)
    loss = card.to_loss()
    yield from ("", f"$${loss.latex()}$$", "", "| | |", "|---|---|")
    yield _row("key", f"`{card.key}`")
    yield _row("signature", _text(_signature(card)))
    yield _row("complexity", f"{loss.complexity} operators")
    for parameter in loss.parameters:
        yield _row("parameter", f"{parameter.name} = {parameter.default:g}")
    yield _row("task", f"{_text(card.task.name)}, identity `{card.task.identity[:16]}…`")
    yield from ("", "## Score on validation data", "", *_score(card), "")
    if card.held_out:
        yield from ("## Score on held-out test data", "")
    if card.transfer:
        yield from (_text(card.transfer), "")
    for table in card.held_out:
        yield from (*_table(table), "")
    yield from ("## How it was made", "", *(f"    {line}" for line in card.commands), "")
    versions = ", ".join(f"{name} {card.versions[name]}" for name in _TOLD if card.versions.get(name) is not None)
    yield from (_text(f"Versions: {versions or 'not recorded'}."), "")
    if card.configuration:
        yield from ("`config.toml` of the search:", "", *_indented(card.configuration), "")
    yield from ("## Check it", "")
    yield "`lossearch verify CARD` trains the loss again, with the formula, task, steps, learning rate and seeds of the"
    yield "facts below, and says whether the score agrees within the noise floor."
    if card.task.function is not None:
        yield "A card runs no code: name the training function with `--task`."
    yield from ("", "## Facts", "", FENCE, card.facts(), "```")


def _score(card: Card) -> Iterator[str]:
    score, units = card.score, _units(card.task)
    how = {
        "race": "the final race of the search, on seeds that the search did not use",
        "search": "the search's own score, by which it chose",
        "card": "trainings for this card, untuned",
    }[score.of]
    percent = " %" if units.factor == 100.0 else ""
    yield f"**{_text(card.task.metric)} {units.value(score.mean)}{percent}**, {in_words(card.task.higher_is_better)}:"
    yield f"{how}."
    yield from ("", "| | |", "|---|---|")
    yield _row("seeds", ", ".join(map(str, score.seeds)))
    yield _row("values", ", ".join(units.value(value) for value in score.metrics))
    floor = "not known below four seeds" if score.noise_floor is None else units.value(score.noise_floor)
    yield _row("noise floor", floor)
    yield _row("steps", str(score.steps))
    yield _row("learning rate", "the function's own" if score.learning_rate is None else f"{score.learning_rate:.6g}")
    scale = "that of the task's default loss" if score.step_scale is None else f"loss × {score.step_scale:.6g}"
    yield _row("step size", scale)
    yield _row("device", _text(score.device or "the function's choice"))


def _table(table: HeldOut) -> Iterator[str]:
    units = _units(table.task)
    yield f"{_text(table.task.name)}: test {_text(table.task.metric)}{units.label}, {len(table.seeds)} paired seeds,"
    yield f"{table.steps} steps, every loss tuned on validation data. {_text(table.verdict)}"
    yield from ("", "| loss | | test [interval] | difference | p (Holm) |", "|---|---|---|---|---|")
    for row in table.rows:
        test = _with_bounds(units.value, row.mean, row.low, row.high) or "failed"
        gap = _with_bounds(units.difference, row.difference, row.difference_low, row.difference_high)
        own = f"**{_text(row.loss)}**" if row.loss == table.loss else _text(row.loss)
        given = "reference" if row.loss == table.reference else gap or "–"
        yield f"| {own} | {row.source} | {test} | {given} | {'–' if row.p_holm is None else p_text(row.p_holm)} |"
    floor = (
        "" if table.noise_floor is None else f"Noise floor of {_text(table.loss)}: {units.value(table.noise_floor)}."
    )
    parameters = ", ".join(f"{_text(name)} = {value:.4g}" for name, value in table.parameters.items())
    yield from ("", " ".join(filter(None, (floor, f"Tuned: {parameters}." if parameters else ""))))


def _with_bounds(write: Callable[[float], str], value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return f"{write(value)} [{write(low)}, {write(high)}]"


def _units(task: CardTask) -> Units:
    known = metrics()
    return Units.of(known[task.metric]) if task.metric in known else Units(task.metric, 1.0, 4)


def _signature(card: Card) -> str:
    if isinstance(card.signature, str):
        return card.signature
    return ", ".join(f"{slot}: {one}" for slot, one in card.signature.items())


def _row(name: str, value: str) -> str:
    return f"| {name} | {value} |"


def _indented(text: str) -> Iterable[str]:
    """Lines of a block of code, none of which can open or close another block."""
    return (f"    {line}" for line in text.split("\n"))


def _text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{character}" if character in "\\`*_[]|#~$" else character for character in plain)
