"""`RESULTS.md`: what came of all experiments, written from their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossearch import zoo
from lossearch.comparison.table import joined
from lossearch.comparison.verdict import p_text
from lossearch.experiments.outcome import Judged, Outcome, TransferOutcome
from lossearch.experiments.transfer_page import HEAD, section

_HEAD = """# Results

Written by `make experiments` from `experiments/results/`; nothing here is typed by hand. Each experiment searches a
loss, X
- *Difference*: discovered loss minus the best hand-designed one, with a 95 % bootstrap interval. The best hand-designed
  loss is chosen by its test values, which can only make it harder to beat.
- *p*: of a paired sign-flip test, Holm-corrected for the number of losses compared.
- *Better on*: the share of paired seeds on which the discovered loss is the better one; ties count half.
- *Noise floor*: how far two comparisons of one and the same loss differ by their seeds alone.
- *Cost*: candidates proposed, those of them that were trained, trainings with the race's, and hours of training on one
  core. A win is one at p < 0.05.
"""

_COLUMNS = (
    "experiment",
    "family",
    "test metric",
    "discovered",
    "best hand-designed",
    "difference",
    "p",
    "better on",
    "noise floor",
    "cost",
    "outcome",
)


def results_page(all_outcomes: Sequence[Outcome | TransferOutcome]) -> str:
    """The whole page.

    Args:
        all_outcomes: in the order in which they are to stand; those over distributions come last.
    """
    outcomes = [one for one in all_outcomes if isinstance(one, Outcome)]
    transfers = [one for one in all_outcomes if isinstance(one, TransferOutcome)]
    wins = sum(outcome.verdict == "win" for outcome in outcomes)
    defeats = sum(outcome.verdict == "defeat" for outcome in outcomes)
    others = len(outcomes) - wins - defeats
    lines = [
        _HEAD,
        f"Experiments: {len(outcomes)}. Wins: {wins}; defeats: {defeats}; no difference that can be told: {others}.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|" + "---|" * len(_COLUMNS),
        *(_line(outcome) for outcome in outcomes),
        "",
    ]
    for outcome in outcomes:
        lines += _section(outcome)
    if transfers:
        lines += [HEAD, ""]
    for transfer in transfers:
        lines += section(transfer)
    return "\n".join(lines).rstrip() + "\n"


def _line(outcome: Outcome) -> str:
    found = outcome.discovered
    reference = next((row for row in outcome.rows if row.loss == outcome.reference), None)
    units, cost = outcome.units, outcome.cost
    cells = [
        f"[{outcome.name}](#{outcome.name})",
        outcome.family,
        f"{outcome.metric}{units.label}, {'higher' if outcome.higher_is_better else 'lower'} is better",
        _test(outcome, found),
        "–" if reference is None else f"{reference.loss} {_test(outcome, reference)}",
        *_against(outcome, found),
        "–" if outcome.noise_floor is None else units.value(outcome.noise_floor),
        f"{cost.proposed} / {cost.trained} / {cost.trainings + cost.race_trainings}, {cost.hours:.2g} h",
        f"**{outcome.verdict}**",
    ]
    return f"| {' | '.join(cells)} |"


def _test(outcome: Outcome, row: Judged | None) -> str:
    if row is None or row.interval is None:
        return "failed"
    return f"{outcome.units.value(row.interval.mean)} {outcome.units.interval(row.interval)}"


def _against(outcome: Outcome, row: Judged | None) -> tuple[str, str, str]:
    """Difference to the reference, p and the share of seeds on which the loss is better."""
    if row is None or row.difference is None or row.wins is None:
        return "–", "–", "–"
    gap = row.difference
    difference = f"{outcome.units.difference(gap.mean)} {outcome.units.signed_interval(gap.interval)}"
    return difference, "–" if row.p_holm is None else p_text(row.p_holm), f"{row.wins:.0%}"


def _section(outcome: Outcome) -> Iterator[str]:
    yield f"## {outcome.name}"
    yield ""
    yield f"    lossearch search experiments/{outcome.name}.toml --out runs/experiments/{outcome.name}"
    yield (
        f"    lossearch compare runs/experiments/{outcome.name}@1 --task experiments/{outcome.name}.toml --baselines"
        f" --seeds {outcome.seeds}"
    )
    yield ""
    yield f"Discovered, {outcome.complexity} operators:"
    yield ""
    yield f"    {outcome.formula}"
    yield ""
    if outcome.shorter is not None:
        yield f"Shorter, {outcome.shorter_how}:"
        yield ""
        yield f"    {outcome.shorter}"
        yield ""
    others = list(dict.fromkeys(name for row in outcome.rows for name in row.others))
    heads = ["loss", "tuned parameters", "learning rate", f"test {outcome.metric}", "difference", "p", "better on"]
    yield f"| {' | '.join([*heads, *others])} |"
    yield "|" + "---|" * (len(heads) + len(others))
    for row in outcome.rows:
        edges = {name: {"low": "↓", "high": "↑"}[side] for name, side in row.at_edge.items()}
        parameters = ", ".join(
            f"{joined({name: value})}{edges.get(name, '')}" for name, value in row.parameters.items()
        )
        cells = [
            f"**{row.loss}**" if row.source == "discovered" else row.loss,
            parameters or "–",
            f"{row.learning_rate:.3g}{edges.get('learning_rate', '')}",
            _test(outcome, row),
            *(("reference", "–", "–") if row.loss == outcome.reference else _against(outcome, row)),
            *(f"{row.others[name]:.4g}" if name in row.others else "–" for name in others),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    for row in outcome.rows:
        if row.source == "hand-designed" and row.loss not in zoo.names():  # one with arguments, or of several slots
            yield f"`{row.loss}` is `{row.formula}`."
            yield ""
    versions = ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
    yield f"{outcome.seeds} paired seeds, {outcome.trials} settings of each loss tried; {versions}."
    yield ""
