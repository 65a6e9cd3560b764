"""Emitted source: what it says, how it is laid out, and when it needs flattened space."""

from __future__ import annotations

import ast
import random

import pytest
from compile.examples import CROSS_ENTROPY, DENSE, ELEMENTARY, LABELS, LOG_P, LOGITS, TARGET, TRUE_P, P, example
from ir.random_graphs import random_graph
from representative import each_loss

from lossearch import zoo
from lossearch.compile.names import RESERVED
from lossearch.compile.source import emit, emit_roots
from lossearch.compile.template import template
from lossearch.compile.variant import Variant, source_of
from lossearch.ir import Expr, Graph, IllTyped, Parameter, constant
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import lower

GAMMA = Parameter("gamma", 2.0, 0.0, 10.0)


def test_shared_nodes_are_computed_once_and_small_ones_stay_inline() -> None:
    source = emit_roots([fn.mean(P * P + fn.log(P + 1.0) * P, ("batch", "class", "space"))])
    assert source.text == (
        "def loss(logits: Tensor) -> Tensor:\n"
        "    probability = torch.softmax(logits, 1)\n"
        "    total = probability * probability + torch.log(probability + 1.0) * probability\n"
        "    return total.mean()\n"
    )


def test_labels_become_a_kernel_of_pytorch() -> None:
    source = source_of(CROSS_ENTROPY, Variant(labels=True), "mean")
    assert source.body == ("return F.nll_loss(torch.log_softmax(logits, 1), target)",)


def test_fixed_parameters_are_numbers_and_learnable_ones_tensors() -> None:
    graph = Graph(DENSE, (1.0 - TRUE_P) ** GAMMA.node, (GAMMA,))
    assert "gamma: float" in emit(graph).text
    learnable = Parameter("gamma", 2.0, 0.0, 10.0, learnable=True)
    assert "gamma: Tensor" in emit(Graph(DENSE, (1.0 - TRUE_P) ** learnable.node, (learnable,))).text


def test_a_number_is_a_tensor_where_a_function_wants_one() -> None:
    root = fn.maximum(fn.exp(GAMMA.node), P) + fn.where(fn.less(P, 0.5), 1.0, 2.0)
    text = emit(Graph(DENSE, root, (GAMMA,))).text
    assert "torch.exp(logits.new_full((), gamma))" in text
    assert "torch.where(probability < 0.5, logits.new_full((), 1.0), 2.0)" in text


def test_arithmetic_of_numbers_stays_a_number() -> None:
    source = emit(Graph(DENSE, P * (2.0**-GAMMA.node / fn.size(LOGITS, "class")), (GAMMA,)))
    assert source.body == ("return torch.softmax(logits, 1) * (2.0 ** -gamma / logits.shape[1])",)


@pytest.mark.parametrize("seed", range(60))
def test_brackets_keep_the_structure_of_arithmetic(seed: int) -> None:
    """Random arithmetic on numbers, evaluated by Python from the source, equals its value from the nodes."""
    rng = random.Random(seed)
    pool = [constant(float(rng.randint(-3, 3) or 2)) for _ in range(4)]
    for _ in range(12):
        a, b = rng.choice(pool), rng.choice(pool)
        name = rng.choice(("add", "sub", "mul", "neg", "pow"))
        node = Expr.make(name, (a, constant(2.0)) if name == "pow" else (a,) if name == "neg" else (a, b))
        if node.lower == node.upper and abs(node.lower) < 1e12:
            pool.append(node)
    found = emit_roots([LOGITS * pool[-1]]).body[-1].removeprefix("return logits * ")
    names: dict[str, float] = {}
    for line in emit_roots([LOGITS * pool[-1]]).body[:-1]:
        name, _, expression = line.partition(" = ")
        names[name] = eval(expression, {}, names)
    assert eval(found, {}, names) == pool[-1].lower


@pytest.mark.parametrize("seed", range(0, 300, 10))
def test_lines_are_short_and_names_hide_nothing(seed: int) -> None:
    for graph in (random_graph(each).frozen() for each in range(seed, seed + 10)):
        source = emit(lower(graph))
        assert all(len(line) <= 116 for line in source.body), source.text
        tree = ast.parse(source.text)
        defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        last = tree.body[-1]
        assert isinstance(last, ast.FunctionDef)
        local = {target.id for node in ast.walk(last) if isinstance(node, ast.Assign) for target in node.targets}  # type: ignore[attr-defined]
        helpers = {node.name for node in tree.body[:-1] if isinstance(node, ast.FunctionDef)}
        assert not local & (RESERVED | helpers | {argument.variable for argument in source.arguments})
        assert defined >= local


def test_a_parameter_may_have_the_name_of_a_keyword() -> None:
    parameter = Parameter("lambda", 2.0, 0.0, 10.0)
    source = emit(Graph(DENSE, P * parameter.node, (parameter,)))
    assert [(a.name, a.variable) for a in source.arguments] == [("logits", "logits"), ("lambda", "lambda_")]


def test_an_expression_of_numbers_only_is_refused() -> None:
    with pytest.raises(IllTyped, match="uses its inputs"):
        emit_roots([constant(1.0) + GAMMA.node])


FLAT = {
    "difference",
    "gaussian_window",
    "local_mean",
    "same",
    "size(space)",
    "softmax(space)",
    "mean(space)",
    "class_weight",
    "matrix product",
    "sums per label and image",
}


def test_space_is_flattened_only_where_its_position_matters() -> None:
    weight = DENSE["class_weight"].node
    cases = {
        "difference": fn.difference(LOGITS, "height"),
        "gaussian_window": fn.gaussian_window(LOGITS),
        "local_mean": fn.local_mean(LOGITS, 3),
        "same": LOGITS * fn.mean(fn.same(LOGITS, "space"), ("space", "space'")),
        "size(space)": LOGITS / fn.size(LOGITS, "space"),
        "softmax(space)": fn.softmax(LOGITS, "space"),
        "mean(space)": fn.mean(LOGITS, "space"),
        "class_weight": LOGITS * weight,
        "matrix product": fn.contract(P, fn.rename(P, "class", "class'"), "space"),
        "sums per label and image": Expr.make(
            "scatter_sum", (fn.max(P, "class"), LABELS, P), over=("space",), into=("class",)
        ),
        "mean over all": fn.mean(P, ("batch", "class", "space")),
        "inner product over classes": fn.contract(TARGET, LOG_P, "class"),
        "broadcast over classes": P * TRUE_P,
        "gather": Expr.make("gather", (P, LABELS), over=("class",)),
        "one_hot": Expr.make("one_hot", (LABELS, P), over=("class",)),
        "counts": Expr.make("label_counts", (LABELS, P), over=("batch", "space"), into=("class",)),
        "weight of labels": Expr.make("gather", (weight, LABELS), over=("class",)) * fn.max(P, "class"),
    }
    assert {name for name, root in cases.items() if emit_roots([root]).flat} == FLAT


@pytest.mark.parametrize("name", ELEMENTARY)
def test_helpers_stand_beside_what_calls_them(name: str) -> None:
    node = example(name)
    made = template(node, tuple(argument.is_constant for argument in node.args))
    called = {
        n.func.id for n in ast.walk(ast.parse(made.text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    defined = {n.name for n in ast.parse(made.helper).body if isinstance(n, ast.FunctionDef)}
    assert called == defined


@pytest.mark.parametrize("name", each_loss())
def test_emitting_is_the_same_in_every_process(name: str) -> None:
    """No set or hash order shows: emitting from a rebuilt graph gives the same text."""
    graph = zoo.get(name).graph.frozen()
    assert emit(lower(graph)).text == emit(lower(graph.map(lambda node: node))).text
