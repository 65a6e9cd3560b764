"""The node of an expression graph: immutable, interned, typed when it is made.

Equal nodes are the same object, so a graph shares its common subexpressions by construction and `is` compares
whole graphs. An ill-typed node cannot exist: making one raises `IllTyped`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Union
from weakref import KeyedRef

from lossearch.errors import UserError
from lossearch.ir.core.operator import Attribute, Attributes, lookup
from lossearch.ir.core.types import IllTyped, Type
from lossearch.reading import finite

Operand = Union["Expr", float, int]


class Expr:
    """One node: an operator name, argument nodes and attributes. Make nodes with `Expr.make` or by arithmetic."""

    __slots__ = ("__weakref__", "_key", "args", "attrs", "leaves", "memo", "op", "type")

    op: str
    args: tuple[Expr, ...]
    attrs: Attributes
    type: Type
    leaves: frozenset[Expr]
    """The inputs and parameters below this node, itself included."""
    memo: dict[object, Any]
    """What was found out about this node, by what found it: context-free changes, bounds, values. It dies with it."""
    _key: bytes | None
    text: ClassVar[Callable[[Expr], str]] = lambda node: f"<{node.op}>"
    """How a node is written; `forms/text.py` sets the text form, `forms/json.py` says how a node is pickled."""
    _interned: ClassVar[dict[tuple[Any, ...], KeyedRef[tuple[Any, ...], Expr]]] = {}

    @classmethod
    def make(cls, op: str, args: Sequence[Expr] = (), **attributes: Attribute) -> Expr:
        """The node for `op` applied to `args`; raises `IllTyped` or, for unknown names, `UserError`."""
        arguments, attrs = tuple(args), tuple(sorted(attributes.items())) if attributes else ()
        # Floats 0.0 and -0.0 or 1 and 1.0 compare equal; the representation keeps them apart.
        identity = (op, arguments, repr(attrs) if attrs else "")
        known = cls._interned.get(identity)
        found = None if known is None else known()
        if found is not None:
            return found
        operator = lookup(op)
        if operator.arity != len(arguments):
            raise UserError(f"{operator.arity} arguments for {op}", str(len(arguments)), "correct the call")
        node = super().__new__(cls)
        setters = object.__setattr__
        setters(node, "op", op)
        setters(node, "args", arguments)
        setters(node, "attrs", attrs)
        setters(node, "_key", None)
        setters(node, "memo", {})
        setters(node, "type", _finite(op, operator.rule(operator, arguments, attributes)))
        setters(node, "leaves", _leaves(node))
        cls._interned[identity] = KeyedRef(node, _forget, identity)
        return node

    def __new__(cls) -> Expr:
        raise TypeError("make nodes with Expr.make")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("nodes are immutable")

    def attr(self, name: str) -> Any:
        """The attribute `name`."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    def with_args(self, args: Sequence[Expr]) -> Expr:
        """The same operator and attributes over other arguments."""
        return self if tuple(args) == self.args else Expr.make(self.op, args, **dict(self.attrs))

    @property
    def axes(self) -> tuple[str, ...]:
        """Named axes in layout order."""
        return self.type.axes

    @property
    def lower(self) -> float:
        """Lower bound of the value."""
        return self.type.interval.lower

    @property
    def upper(self) -> float:
        """Upper bound of the value."""
        return self.type.interval.upper

    @property
    def key(self) -> str:
        """Structural SHA-256, the same in every process."""
        return self.digest.hex()

    @property
    def digest(self) -> bytes:
        """The key's bytes, which order nodes as the key does."""
        if self._key is None:
            ready = all(map(_has_key, self.args))
            for node in (self,) if ready else postorder((self,), stop=_has_key):
                if node._key is None:
                    object.__setattr__(node, "_key", node._digest())
        assert self._key is not None
        return self._key

    def _digest(self) -> bytes:
        state = hashlib.sha256(f"{self.op}{self.attrs!r}{len(self.args)}".encode())
        for argument in self.args:
            assert argument._key is not None
            state.update(argument._key)
        return state.digest()

    def postorder(self) -> list[Expr]:
        """Every distinct node below and including this one, arguments before users."""
        return postorder((self,))

    @property
    def size(self) -> int:
        """Number of distinct nodes."""
        return len(self.postorder())

    def map(self, change: Callable[[Expr], Expr]) -> Expr:
        """Rebuild bottom-up: `change` sees each node once, its arguments already changed."""
        return map_nodes((self,), change)[0]

    def substitute(self, replacements: dict[Expr, Expr]) -> Expr:
        """Replace whole nodes by others."""
        changed: dict[Expr, Expr] = dict(replacements)
        for node in postorder((self,), stop=changed.__contains__):
            if node not in changed and not changed.keys().isdisjoint(node.args):
                changed[node] = node.with_args([changed.get(argument, argument) for argument in node.args])
        return changed.get(self, self)

    @property
    def is_constant(self) -> bool:
        """Whether this is a number."""
        return self.op == "constant"

    def __repr__(self) -> str:
        return Expr.text(self)

    def __add__(self, other: Operand) -> Expr:
        return Expr.make("add", (self, as_expr(other)))

    def __radd__(self, other: Operand) -> Expr:
        return Expr.make("add", (as_expr(other), self))

    def __sub__(self, other: Operand) -> Expr:
        return Expr.make("sub", (self, as_expr(other)))

    def __rsub__(self, other: Operand) -> Expr:
        return Expr.make("sub", (as_expr(other), self))

    def __mul__(self, other: Operand) -> Expr:
        return Expr.make("mul", (self, as_expr(other)))

    def __rmul__(self, other: Operand) -> Expr:
        return Expr.make("mul", (as_expr(other), self))

    def __truediv__(self, other: Operand) -> Expr:
        return Expr.make("div", (self, as_expr(other)))

    def __rtruediv__(self, other: Operand) -> Expr:
        return Expr.make("div", (as_expr(other), self))

    def __pow__(self, other: Operand) -> Expr:
        return Expr.make("pow", (self, as_expr(other)))

    def __rpow__(self, other: Operand) -> Expr:
        return Expr.make("pow", (as_expr(other), self))

    def __neg__(self) -> Expr:
        return Expr.make("neg", (self,))

    def __abs__(self) -> Expr:
        return Expr.make("abs", (self,))

    def __bool__(self) -> bool:
        raise TypeError("a traced expression has no truth value; choose with where(condition, a, b)")


def as_expr(value: Operand) -> Expr:
    """A node for a number, or the node itself."""
    return value if isinstance(value, Expr) else constant(value)


def constant(value: float) -> Expr:
    """A number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError("a number or an expression", f"{value!r:.80}", "trace with expressions and plain numbers only")
    # What no float holds is refused as an infinite constant is.
    if isinstance(value, int) and finite(value) is None:
        value = math.inf if value > 0 else -math.inf
    return Expr.make("constant", value=float(value))


def _finite(op: str, type: Type) -> Type:
    """Refuse what overflows everywhere, such as 2 ** 5000."""
    lower, upper = type.interval
    if lower == math.inf or upper == -math.inf:
        raise IllTyped(f"{op} with a value that a float can hold", str(type), "use smaller constants")
    return type


def _forget(
    dead: KeyedRef[tuple[Any, ...], Expr],
    interned: dict[tuple[Any, ...], KeyedRef[tuple[Any, ...], Expr]] = Expr._interned,  # there when the module is not
) -> None:
    """Take a node that nothing uses any more out of the table, unless an equal one has taken its place."""
    if interned.get(dead.key) is dead:
        del interned[dead.key]


def _has_key(node: Expr) -> bool:
    return node._key is not None


def _leaves(node: Expr) -> frozenset[Expr]:
    if not node.args:
        return frozenset((node,)) if node.op in ("input", "parameter") else frozenset()
    leaves = node.args[0].leaves
    for argument in node.args[1:]:
        if not argument.leaves <= leaves:
            leaves |= argument.leaves
    return leaves


def postorder(roots: Sequence[Expr], stop: Callable[[Expr], bool] | None = None) -> list[Expr]:
    """Every distinct node below `roots`, arguments first, iteratively; does not look below nodes where `stop`."""
    found: list[Expr] = []
    seen: set[Expr] = set()
    stack = [*roots[::-1]]
    while stack:
        node = stack[-1]
        if node not in seen:
            if node.args and (stop is None or not stop(node)):
                height = len(stack)
                for argument in node.args[::-1]:
                    if argument not in seen:
                        stack.append(argument)
                if len(stack) > height:
                    continue
            seen.add(node)
            found.append(node)
        stack.pop()
    return found


def map_nodes(roots: Sequence[Expr], change: Callable[[Expr], Expr]) -> list[Expr]:
    """Rebuild several graphs bottom-up with sharing kept; `change` sees each distinct node once."""
    done: dict[Expr, Expr] = {}
    for node in postorder(roots):
        done[node] = change(node.with_args([done[argument] for argument in node.args]))
    return [done[root] for root in roots]


class Remembered:
    """A context-free change of single nodes, applied bottom-up to whole graphs and remembered on the nodes."""

    def __init__(self, change: Callable[[Expr], Expr]) -> None:
        self.change = change

    def __call__(self, roots: Sequence[Expr]) -> list[Expr]:
        """The changed graphs."""
        new = [root for root in roots if self not in root.memo]
        for node in postorder(new, stop=lambda node: self in node.memo) if new else ():
            if self not in node.memo:
                node.memo[self] = self.change(node.with_args([argument.memo[self] for argument in node.args]))
        return [root.memo[self] for root in roots]
