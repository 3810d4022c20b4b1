"""Between which values an expression can lie: finds constraints that nothing could ever satisfy."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

from accelsim.sweeps.expressions import Expression, dotted_name

Interval = tuple[float, float]
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    # inf x 0 is 0 here: a factor of exactly zero makes every finite product zero.
    ast.Mult: lambda x, y: 0.0 if 0.0 in (x, y) else x * y,
}


def is_impossible(expression: Expression, ranges: Mapping[str, Interval]) -> bool:
    """Whether a condition is false for every choice of names within `ranges` (a name without one can be anything).

    Sound but not complete: True is certain, False is not.
    """
    return _truth(expression.tree, ranges) is False


def _truth(node: ast.expr, ranges: Mapping[str, Interval]) -> bool | None:
    """True or False where it is certain, None otherwise."""
    match node:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Name(id="true" | "false" as word):
            return word == "true"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            truth = _truth(operand, ranges)
            return None if truth is None else not truth
        case ast.BoolOp(op=op, values=values):
            decisive = isinstance(op, ast.Or)
            truths = [_truth(value, ranges) for value in values]
            return decisive if decisive in truths else None if None in truths else not decisive
        case ast.Compare(left=left, ops=ops, comparators=others):
            ends = [_interval(term, ranges) for term in (left, *others)]
            truths = [_compared(op, a, b) for op, a, b in zip(ops, ends, ends[1:], strict=False)]
            return False if False in truths else None if None in truths else True
    return None


def _compared(op: ast.cmpop, a: Interval | None, b: Interval | None) -> bool | None:
    if a is None or b is None:
        return None
    match op:
        case ast.Gt():
            return _compared(ast.Lt(), b, a)
        case ast.GtE():
            return _compared(ast.LtE(), b, a)
        case ast.Lt():
            return True if a[1] < b[0] else False if a[0] >= b[1] else None
        case ast.LtE():
            return True if a[1] <= b[0] else False if a[0] > b[1] else None
        case ast.Eq() | ast.NotEq() if a[1] < b[0] or b[1] < a[0]:
            return isinstance(op, ast.NotEq)
    return None


def _interval(node: ast.expr, ranges: Mapping[str, Interval]) -> Interval | None:
    """Bounds of a sum, difference or product; None for what is no number, might not be, or is not looked into."""
    name = dotted_name(node)
    if name is not None:
        return ranges.get(name)
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return (float(value), float(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _interval(operand, ranges)
            return None if inner is None else (-inner[1], -inner[0])
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            a, b = _interval(left, ranges), _interval(right, ranges)
            if a is None or b is None:
                return None
            # The extremes lie at the ends; sums of opposite infinities are no numbers and say nothing.
            ends = [_ARITHMETIC[type(op)](x, y) for x in a for y in b]
            low, high = min(ends), max(ends)
            if any(map(math.isnan, ends)):
                return (-math.inf, math.inf)
            # Rounding of the true operation may fall just outside of bounds computed by other operations.
            return (math.nextafter(low, -math.inf) if low else low, math.nextafter(high, math.inf) if high else high)
    return None
