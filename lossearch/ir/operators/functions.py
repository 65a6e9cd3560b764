"""Functions over nodes, for writing primitives and losses: one per operator of the table.

Axes may be given as one name or a tuple of names. Names follow PyTorch; import the module, not the names, since
some shadow built-ins: `from lossearch.ir import functions as fn`.
"""

from __future__ import annotations

from collections.abc import Sequence

from lossearch.ir.core.expr import Expr, Operand, as_expr, constant

__all__ = [
    "abs",
    "acos",
    "along",
    "asin",
    "atan",
    "atan2",
    "clamp",
    "constant",
    "contract",
    "cos",
    "coshm1",
    "cumsum",
    "diagonal",
    "difference",
    "downsample",
    "equal",
    "erf",
    "exp",
    "expm1",
    "fraction",
    "gaussian_window",
    "greater",
    "interior",
    "less",
    "local_mean",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "merge",
    "min",
    "minimum",
    "norm",
    "pick",
    "position",
    "power_spectrum",
    "relu",
    "rename",
    "same",
    "select",
    "sigmoid",
    "sign",
    "sin",
    "size",
    "softmax",
    "softplus",
    "sort",
    "sort_by",
    "sqrt",
    "square",
    "squared_difference",
    "step",
    "stop_gradient",
    "sum",
    "tanh",
    "unit",
    "where",
]

Over = str | tuple[str, ...]


def _axes(over: Over) -> tuple[str, ...]:
    return (over,) if isinstance(over, str) else tuple(over)


def _make(name: str, *arguments: Operand) -> Expr:
    return Expr.make(name, [as_expr(argument) for argument in arguments])


def _over(name: str, over: Over, *arguments: Operand) -> Expr:
    return Expr.make(name, [as_expr(argument) for argument in arguments], over=_axes(over))


def exp(x: Operand) -> Expr:
    """e^x, held at e^60 above 60."""
    return _make("exp", x)


def expm1(x: Operand) -> Expr:
    """e^x - 1, exact near zero."""
    return _make("expm1", x)


def log(x: Operand) -> Expr:
    """Natural logarithm of x ≥ 0."""
    return _make("log", x)


def log1p(x: Operand) -> Expr:
    """log(1 + x) for x ≥ -1."""
    return _make("log1p", x)


def sqrt(x: Operand) -> Expr:
    """Square root of x ≥ 0."""
    return _make("sqrt", x)


def square(x: Operand) -> Expr:
    """x²."""
    return _make("square", x)


def abs(x: Operand) -> Expr:
    """|x|."""
    return _make("abs", x)


def sign(x: Operand) -> Expr:
    """Sign of x, without gradient."""
    return _make("sign", x)


def minimum(x: Operand, y: Operand) -> Expr:
    """The smaller of x and y."""
    return _make("minimum", x, y)


def maximum(x: Operand, y: Operand) -> Expr:
    """The larger of x and y."""
    return _make("maximum", x, y)


def clamp(x: Operand, lower: float | None = None, upper: float | None = None) -> Expr:
    """x held between constant bounds, either of which may be absent."""
    node = as_expr(x)
    if lower is not None and upper is not None:
        return Expr.make("clamp", (node,), lower=float(lower), upper=float(upper))
    if lower is not None:
        return Expr.make("clamp_min", (node,), lower=float(lower))
    return node if upper is None else Expr.make("clamp_max", (node,), upper=float(upper))


def relu(x: Operand) -> Expr:
    """max(x, 0)."""
    return _make("relu", x)


def sigmoid(x: Operand) -> Expr:
    """1 / (1 + e^-x)."""
    return _make("sigmoid", x)


def softplus(x: Operand) -> Expr:
    """log(1 + e^x)."""
    return _make("softplus", x)


def tanh(x: Operand) -> Expr:
    """Hyperbolic tangent."""
    return _make("tanh", x)


def coshm1(x: Operand) -> Expr:
    """cosh x - 1, exact near zero, for x held in [-60, 60]."""
    return _make("coshm1", x)


def sin(x: Operand) -> Expr:
    """Sine."""
    return _make("sin", x)


def cos(x: Operand) -> Expr:
    """Cosine."""
    return _make("cos", x)


def asin(x: Operand) -> Expr:
    """Inverse sine of x in [-1, 1]."""
    return _make("asin", x)


def acos(x: Operand) -> Expr:
    """Inverse cosine of x in [-1, 1]."""
    return _make("acos", x)


def atan(x: Operand) -> Expr:
    """Inverse tangent."""
    return _make("atan", x)


def erf(x: Operand) -> Expr:
    """Error function 2/√π ∫₀ˣ e^(-t²) dt."""
    return _make("erf", x)


def atan2(x: Operand, y: Operand) -> Expr:
    """Inverse tangent of x/y for y ≥ 0, however small both are."""
    return _make("atan2", x, y)


def fraction(part: Operand, whole: Operand) -> Expr:
    """part/whole for 0 ≤ part ≤ whole, in [0, 1]: 0 where the whole is 0, and held at 1e-18."""
    return _make("fraction", part, whole)


def less(x: Operand, y: Operand) -> Expr:
    """Condition x < y."""
    return _make("less", x, y)


def greater(x: Operand, y: Operand) -> Expr:
    """Condition x > y."""
    return _make("greater", x, y)


def equal(x: Expr, y: Expr) -> Expr:
    """Condition that two identities are the same."""
    return _make("equal", x, y)


def where(condition: Expr, x: Operand, y: Operand) -> Expr:
    """x where the condition holds, else y."""
    return _make("where", condition, x, y)


def stop_gradient(x: Operand) -> Expr:
    """x, through which no gradient flows."""
    return _make("stop_gradient", x)


def sum(x: Operand, over: Over) -> Expr:
    """Sum over named axes."""
    return _over("sum", over, x)


def mean(x: Operand, over: Over) -> Expr:
    """Mean over named axes; over the kept elements where a mask applies."""
    return _over("mean", over, x)


def max(x: Operand, over: Over) -> Expr:
    """Maximum over named axes."""
    return _over("max", over, x)


def min(x: Operand, over: Over) -> Expr:
    """Minimum over named axes."""
    return _over("min", over, x)


def logsumexp(x: Operand, over: Over) -> Expr:
    """log Σ e^x over named axes."""
    return _over("logsumexp", over, x)


def norm(x: Operand, over: Over) -> Expr:
    """Euclidean norm over named axes."""
    return _over("norm", over, x)


def softmax(x: Operand, over: Over) -> Expr:
    """Exponentials normalised over one axis."""
    return _over("softmax", over, x)


def log_softmax(x: Operand, over: Over) -> Expr:
    """log softmax over one axis."""
    return _over("log_softmax", over, x)


def unit(x: Operand, over: Over, shortest: float = 1e-8) -> Expr:
    """x divided by its Euclidean norm along one axis, or by `shortest` where that is larger."""
    return Expr.make("unit", (as_expr(x),), over=_axes(over), shortest=float(shortest))


def cumsum(x: Operand, over: Over) -> Expr:
    """Cumulative sum along one axis."""
    return _over("cumsum", over, x)


def sort(x: Operand, over: Over) -> Expr:
    """Values in descending order along one axis."""
    return _over("sort", over, x)


def merge(x: Operand) -> Expr:
    """x with batch and space as the one axis `element`."""
    return _make("merge", x)


def step(x: Operand, over: Over) -> Expr:
    """Each entry along one axis less the one before it."""
    return _over("step", over, x)


def position(x: Operand, over: Over) -> Expr:
    """Place of each entry along one axis of x: 0, 1, 2 …"""
    return _over("position", over, x)


def sort_by(x: Operand, key: Operand, over: Over) -> Expr:
    """x along one axis in the descending order of `key`."""
    return _over("sort_by", over, x, key)


def pick(x: Operand, scores: Operand, over: Over) -> Expr:
    """Entries of x along one axis at which the scores are largest."""
    return _over("pick", over, x, scores)


def contract(x: Operand, y: Operand, over: Over) -> Expr:
    """Σ x·y over named axes: inner product, matrix product, Gram matrix."""
    return _over("contract", over, x, y)


def squared_difference(x: Operand, y: Operand, over: Over) -> Expr:
    """Σ (x - y)² over named axes, of every pair where both have axes of their own."""
    return _over("squared_difference", over, x, y)


def select(x: Operand, over: Over, index: int) -> Expr:
    """Entry `index` of an axis of fixed meaning."""
    return Expr.make("select", (as_expr(x),), over=_axes(over), index=index)


def along(x: Operand, over: Over, values: Sequence[float]) -> Expr:
    """Given numbers, one for each entry along one axis of x."""
    return Expr.make("along", (as_expr(x),), over=_axes(over), values=tuple(map(float, values)))


def size(x: Operand, over: Over) -> Expr:
    """Number of entries along named axes of x."""
    return _over("size", over, x)


def rename(x: Operand, source: str, target: str) -> Expr:
    """x with axis `source` renamed to `target`."""
    return Expr.make("rename", (as_expr(x),), source=source, target=target)


def diagonal(x: Operand, axis: str) -> Expr:
    """Entries of a pairwise value at which `axis` meets its primed copy."""
    return Expr.make("diagonal", (as_expr(x),), axis=axis)


def same(x: Operand, axis: str) -> Expr:
    """One where `axis` of x meets itself in pairwise work, else zero."""
    return Expr.make("same", (as_expr(x),), axis=axis)


def difference(x: Operand, along: str) -> Expr:
    """Forward difference along width, height or depth."""
    return Expr.make("difference", (as_expr(x),), along=along)


def local_mean(x: Operand, size: int) -> Expr:
    """Mean of each spatial neighbourhood of `size` per axis."""
    return Expr.make("local_mean", (as_expr(x),), size=size)


def gaussian_window(x: Operand, size: int = 11, sigma: float = 1.5) -> Expr:
    """Gaussian-weighted mean of each spatial neighbourhood."""
    return Expr.make("gaussian_window", (as_expr(x),), size=size, sigma=float(sigma))


def interior(x: Operand, size: int) -> Expr:
    """One where a window of `size` per axis fits inside the image, else zero."""
    return Expr.make("interior", (as_expr(x),), size=size)


def downsample(x: Operand) -> Expr:
    """Half the resolution: means over blocks of two per axis."""
    return _make("downsample", x)


def power_spectrum(x: Operand) -> Expr:
    """Squared size of each spatial frequency of x; their sum is that of its squares."""
    return _make("power_spectrum", x)
