"""Seeds, exclusions and weights of operators, in a space's file and in a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lossearch import zoo
from lossearch.candidates.screen import Screen, ScreeningConfig
from lossearch.engine.setup.config import SearchConfig, load_config, validate
from lossearch.engine.setup.parts import make_task
from lossearch.engine.setup.spaces import space_for, spaces_of
from lossearch.errors import UserError
from lossearch.evolve import make_method
from lossearch.evolve.grammar import Grammar
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.text import parse_graph
from lossearch.search_spaces import SearchSpace, load_space
from lossearch.search_spaces.restricted import with_complexity, with_seeds, without
from lossearch.tasks import Task
from lossearch.zoo.named import graph_of

DENSE = load_space("dense")
LARGE = "dense: " + " + ".join(f"cos({k}.5 * cross_entropy(logits, target))" for k in range(20))
K_TEMPLATES = [
    "add", "sub", "mul", "pow", "square", "exp", "log", "sqrt", "tanh", "relu", "softplus", "softmax", "log_softmax",
    "stop_gradient", "expm1",
]  # fmt: skip
OWN = "dense: cross_entropy(logits, target) + 0.3 * entropy(logits)"


def config(**fields: Any) -> SearchConfig:
    return validate({"task": "digits", "generations": 1, **fields})


def space_of(found: SearchConfig) -> SearchSpace:
    return spaces_of(found, make_task(found))["loss"]


def test_a_configuration_adds_seeds_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(zoo.get("focal", gamma=3.0).to_json())
    (tmp_path / "other.txt").write_text(f"\ufeff{OWN}\n", encoding="utf-8")
    (tmp_path / "search.toml").write_text(
        'task = "digits"\ngenerations = 1\n'
        f'seeds = ["focal(gamma=1.5)", "mine.json", "other.txt", "{OWN} * 2.0", "brier"]\n'
    )
    space = space_of(load_config(tmp_path / "search.toml")[0])
    added = space.seeds[:5]
    graphs = [graph_of(seed) for seed in added]
    assert graphs[0].key == zoo.get("focal", gamma=1.5).graph.frozen().key
    assert graphs[1].key == zoo.get("focal", gamma=3.0).graph.frozen().key
    assert graphs[2].key == parse_graph(OWN).key
    assert sorted(space.seeds[4:]) == sorted(DENSE.seeds)  # brier is there once
    method = make_method("random", space, 0)
    proposals = [method.ask() for _ in added]
    assert [proposal.operator for proposal in proposals] == [
        "seed:focal(gamma=1.5)", "seed:mine.json", "seed:other.txt", "seed:text", "seed:brier",
    ]  # fmt: skip
    assert [proposal.graph.key for proposal in proposals] == [graph.key for graph in graphs]
    other = make_method("random", space, 1)
    other.load_state(make_method("random", space, 0).state())
    assert other.ask() == proposals[0]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"seeds": ["foca"]}, r"'foca'.*did you mean focal\?.*seeds\[0\]"),
        ({"seeds": ["focal", "focal(gama=2)"]}, r"gama.*seeds\[1\]"),
        ({"seeds": ["dense: cross_entropy(logits)"]}, r"2 arguments for cross_entropy; found: 1.*seeds\[0\]"),
        ({"seeds": ["mse"]}, r"seeds of signature dense; found: seeds\[0\] = 'mse' of signature regression"),
        ({"seeds": ["nowhere.json"]}, r"a file with a loss; found: No such file.*nowhere\.json"),
        ({"seeds": "focal"}, r"seeds: a valid tuple"),
        ({"seeds": [LARGE]}, "seeds of at most 30 operators"),
        ({"seeds": [OWN], "exclude": {"primitives": ["entropy"]}}, "what is excluded; found: entropy in 'dense"),
        ({"exclude": {"losses": ["focl"]}}, r"losses in exclude\.losses; found: 'focl'; did you mean focal"),
        ({"exclude": {"operators": ["expp"]}}, r"operators in exclude\.operators; found: 'expp'; did you mean exp"),
        ({"exclude": {"operators": ["cross_entropy"]}}, r"exclude\.operators; found: 'cross_entropy'"),
        ({"exclude": {"primitives": ["exp"]}}, r"exclude\.primitives; found: 'exp'"),
        ({"exclude": {"loses": ["focal"]}}, r"unknown field exclude\.loses.*did you mean 'losses'"),
        ({"exclude": ["focal"]}, "exclude: a valid dictionary"),
        ({"complexity": {"wher": 2}}, r"primitives in complexity; found: 'wher'; did you mean where"),
        ({"complexity": {"where": -1}}, r"complexity\.where: greater than or equal to 0"),
        ({"complexity": {"where": 1.5}}, r"complexity\.where"),
        ({"complexity": 3}, "complexity"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        space_of(config(**fields))


def test_what_is_excluded_occurs_nowhere() -> None:
    fields = {"losses": ["focal"], "primitives": ["confidence", "cross_entropy"], "operators": ["exp", "where", "pow"]}
    space = space_of(config(exclude=fields))
    banned = {*fields["primitives"], *fields["operators"]}
    assert "focal" not in space.seeds
    assert "cross_entropy" not in space.seeds  # it is written with the primitive
    assert "hinge" in space.seeds
    method = make_method("regularized_evolution", space, 0, random_share=0.3)
    seen: set[str] = set()
    for _ in range(400):
        candidate = method.ask()
        assert isinstance(candidate.graph, Graph)
        seen |= {node.op for root in candidate.graph.roots for node in root.postorder()}
        method.tell(candidate, -float(candidate.graph.complexity), candidate.graph.complexity)
    assert not seen & banned
    assert len(seen) > 15
    with pytest.raises(UserError, match=r"terminals and templates of sort K; found: none without .*exclude less"):
        make_method("random", without(DENSE, operators=K_TEMPLATES, primitives=["clipped_logits"]), 0)


def test_screening_rejects_what_is_excluded() -> None:
    space = without(DENSE, losses=["focal"], operators=["tanh"])
    screen = Screen(Task("digits"), space, zoo.get("cross_entropy").graph, ScreeningConfig.model_validate({}))
    verdict = screen.check(parse_graph("dense: tanh(cross_entropy(logits, target))"), set())
    assert (verdict.filter, verdict.reason) == ("type", "uses what is excluded: tanh")
    for text in ("focal", "dense: 3.0 * (" + str(zoo.get("focal").graph.frozen().root) + ")"):
        verdict = screen.check(graph_of(text), set())
        assert verdict.filter == "known", text
    assert screen.check(graph_of("brier"), set()).accepted


def test_operators_count_as_told() -> None:
    space = with_complexity(DENSE, {"exp": 5, "log": 0})
    graph = parse_graph("dense: exp(-cross_entropy(logits, target)) * log(2.0 + entropy(logits))")
    names = [node.op for node in graph.expanded().nodes if node.args]
    assert space.complexity_of(graph) == graph.complexity + 4 * names.count("exp") - names.count("log")
    assert DENSE.complexity_of(graph) == graph.complexity
    method = make_method("regularized_evolution", space, 0)
    method.inject(graph, 1.0)
    assert method.best[0].complexity == space.complexity_of(graph)
    screen = Screen(Task("digits"), space, zoo.get("cross_entropy").graph, ScreeningConfig.model_validate({}))
    assert screen.check(graph, set()).complexity == space.complexity_of(graph)


def test_a_primitive_counts_as_told_and_not_as_what_it_is_made_of() -> None:
    graph = parse_graph("dense: exp(-cross_entropy(logits, target)) * log(2.0 + entropy(logits))")
    outside = 5  # exp, neg, mul, log, add
    both = with_complexity(DENSE, {"cross_entropy": 7, "entropy": 100})
    assert both.complexity_of(graph) == outside + 7 + 100
    assert with_complexity(both, {"exp": 3}).complexity_of(graph) == outside + 2 + 7 + 100
    one = with_complexity(DENSE, {"cross_entropy": 0})
    entropy = parse_graph("dense: log(2.0 + entropy(logits)) * target")
    assert one.complexity_of(graph) == outside + entropy.complexity - 3  # log, add, mul
    # One that another is made of counts as told there, too.
    giou = graph_of("giou")
    assert "box_width" not in {node.op for node in giou.nodes}
    assert with_complexity(load_space("box"), {"box_width": 1000}).complexity_of(giou) >= 1000


def test_a_space_file_has_them_all(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(OWN)
    text = (
        Path(DENSE_FILE)
        .read_text()
        .replace("seeds = [", 'exclude = ["cos"]\nexclude_losses = ["dice"]\nseeds = [\n"one.txt",')
    )
    (tmp_path / "mine.toml").write_text(f"{text}\n[complexity]\nwhere = 3\n")
    space = load_space(tmp_path / "mine.toml")
    assert graph_of(space.seeds[0]).key == parse_graph(OWN).key
    assert make_method("random", with_seeds(space, ["focal(gamma=3)"]), 0).ask().operator == "seed:focal(gamma=3)"
    assert make_method("random", without(space, operators=["tanh"]), 0).ask().operator == "seed:one.txt"
    assert "dice" not in space.seeds
    assert space.complexity == {"where": 3}
    assert not any(
        "cos" in {node.op for node in make_method("random", space, s).random_graph().nodes} for s in range(30)
    )
    (tmp_path / "mine.toml").write_text(text.replace("cos", "coss"))
    with pytest.raises(UserError, match=r"'coss'; did you mean cos"):
        load_space(tmp_path / "mine.toml")


DENSE_FILE = Path(__file__).resolve().parents[2] / "search_spaces" / "dense.toml"


def test_every_seed_of_every_space_is_within_its_limits() -> None:
    for name in ("dense", "box", "regression"):
        space: SearchSpace = load_space(name)
        assert with_seeds(space, space.seeds).seeds == space.seeds


@pytest.mark.parametrize("absent", [(), ("progress",), ("progress", "class_weight", "class_count", "noise_rate")])
def test_what_a_task_does_not_tell_occurs_nowhere(absent: tuple[str, ...]) -> None:
    space = DENSE.model_copy(update={"absent": absent, "seeds": ("cross_entropy",)})
    method = make_method("random", space, 0)
    graphs = [graph for _ in range(600) if isinstance(graph := method.ask().graph, Graph)]
    assert len(graphs) == 600
    for name in ("progress", "class_weight", "class_count", "noise_rate"):
        assert any(graph.uses(name) for graph in graphs) == (name not in absent)


def test_a_task_of_lossearch_tells_all_that_dense_losses_are_made_with() -> None:
    # But for what is the same in all trainings of a single task.
    assert space_for(make_task(config()), "loss", DENSE).absent == ("noise_rate",)
    several = make_task(config(task={"base": "noisy_images", "tasks": 2, "held_out": {"data": ["fashion"]}}))
    assert space_for(several, "loss", DENSE).absent == ()


def test_what_is_absent_is_an_input_and_leaves_by_every_way() -> None:
    with pytest.raises(ValueError, match="absent names inputs of dense, but progres is none"):
        SearchSpace.model_validate({**DENSE.model_dump(), "absent": ["progres"]})
    without_weights = DENSE.model_copy(update={"absent": ("class_weight",)})
    kept = space_for(make_task(config()), "loss", without_weights)
    assert "weighted_cross_entropy" not in kept.seeds
    assert kept.absent == ("class_weight", "noise_rate")
    grammar = Grammar(without_weights)
    assert grammar.allows([graph_of("cross_entropy").root])
    assert not grammar.allows([graph_of("weighted_cross_entropy").root])
