"""Between which values an expression can lie: finds constraints that nothing could ever satisfy."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

from accelsim.sweeps.expressions import Expression, dotted_name

Interval = tuple[float, float]
ANYTHING: Interval = (-math.inf, math.inf)


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
            if decisive in truths:
                return decisive
            return None if None in truths else not decisive
        case ast.Compare(left=left, ops=ops, comparators=others):
            terms = [left, *others]
            truths = [
                _compared(op, _interval(a, ranges), _interval(b, ranges))
                for op, a, b in zip(ops, terms, others, strict=False)
            ]
            return False if False in truths else None if None in truths else True
    return None


def _compared(op: ast.cmpop, a: Interval | None, b: Interval | None) -> bool | None:
    if a is None or b is None:
        return None
    match op:
        case ast.Gt() | ast.GtE():
            return _compared(ast.Lt() if isinstance(op, ast.Gt) else ast.LtE(), b, a)
        case ast.Lt():
            return True if a[1] < b[0] else False if a[0] >= b[1] else None
        case ast.LtE():
            return True if a[1] <= b[0] else False if a[0] > b[1] else None
        case ast.Eq() if a[1] < b[0] or b[1] < a[0]:
            return False
        case ast.NotEq() if a[1] < b[0] or b[1] < a[0]:
            return True
    return None


def _interval(node: ast.expr, ranges: Mapping[str, Interval]) -> Interval | None:
    """Bounds of a number; None for what is no number, or might not be."""
    name = dotted_name(node)
    if name is not None:
        return ranges.get(name)
    match node:
        case ast.Constant(value=bool() | str() | None):
            return None
        case ast.Constant(value=int() | float() as value):
            return (float(value), float(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _interval(operand, ranges)
            return None if inner is None else (-inner[1], -inner[0])
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _interval(left, ranges), _interval(right, ranges)
            return None if a is None or b is None else _combined(op, a, b)
        case ast.Call(func=ast.Name(id="min" | "max" as function), args=arguments) if len(arguments) > 1:
            parts = [_interval(argument, ranges) for argument in arguments]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            pick = min if function == "min" else max
            return (pick(low for low, _ in known), pick(high for _, high in known))
        case ast.Call(func=ast.Name(id="abs"), args=[argument]):
            inner = _interval(argument, ranges)
            if inner is None:
                return None
            nearest = 0.0 if inner[0] <= 0 <= inner[1] else min(abs(inner[0]), abs(inner[1]))
            return (nearest, max(abs(inner[0]), abs(inner[1])))
    return None


def _combined(op: ast.operator, a: Interval, b: Interval) -> Interval | None:
    match op:
        case ast.Add():
            bounds = [a[0] + b[0], a[1] + b[1]]
        case ast.Sub():
            bounds = [a[0] - b[1], a[1] - b[0]]
        case ast.Mult():
            # inf x 0 is 0 here: a factor of exactly zero makes every finite product zero.
            bounds = [0.0 if 0.0 in (x, y) else x * y for x in a for y in b]
        case ast.Div() if b[0] > 0 or b[1] < 0:
            bounds = [0.0 if x == 0 or math.isinf(y) else x / y for x in a for y in b]
        case _:
            return None
    # Rounding of the true operation may fall just outside of bounds computed by other operations.
    low, high = min(bounds), max(bounds)
    if math.isnan(low) or math.isnan(high):
        return ANYTHING
    return (math.nextafter(low, -math.inf) if low else low, math.nextafter(high, math.inf) if high else high)
