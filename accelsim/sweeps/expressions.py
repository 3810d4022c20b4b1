"""Expressions of sweep files (``area_um2 < 1e7 and array.rows >= array.cols``): parsed, never executed as code.

The text is parsed by Python's own parser into a tree of which only arithmetic, comparisons, logic and a few
functions are let through; the tree is walked, nothing is compiled. Names may be dotted keys.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accelsim.core.errors import shortened

MAX_LENGTH = 2000
MAX_LEVELS = 200
"""Operations within one another; `a + b + c` are two."""
MAX_NUMBER = 1e300
"""Of every operand and every result: an operation on such numbers takes no time, whatever their values."""
MAX_EXPONENT = 64
MAX_ITEMS = 10_000
"""Items of a list, characters of a text, that a name stands for."""


class ExpressionError(ValueError):
    """The text is no expression of this language, or its values do not fit together."""


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": lambda number, digits=None: _rounded(number, digits),
    "sqrt": math.sqrt,
}
_BEYOND = "a number beyond 1e300"
# YAML's spelling of what Python writes with a capital.
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Expression:
    """A checked expression; `names` are the figures and dotted keys it asks for, in order of appearance."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Check a text.

        Raises:
            ExpressionError: what is not allowed, in words.
        """
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"longer than {MAX_LENGTH} characters")
        text = text.strip()
        try:
            with warnings.catch_warnings():  # of Python about its own language ("1if")
                warnings.simplefilter("ignore")
                tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else error
            raise ExpressionError(f"'{text}' is no expression: {reason}") from None
        names: dict[str, None] = {}
        try:
            _check(tree, names, text, MAX_LEVELS)
        except (TypeError, ArithmeticError) as error:  # of a part without names, which fails at every point
            raise ExpressionError(f"'{text}': {_said(error)}") from None
        return cls(text, tree, tuple(names))

    def value(self, names: Mapping[str, Any]) -> Any:
        """The value for given names.

        Raises:
            ExpressionError: values that do not fit the operators (text < number, a division by zero ...).
        """
        try:
            return _evaluate(self.tree, names)
        except KeyError as error:
            raise ExpressionError(f"'{self.text}': there is no value of {error}") from None
        except (TypeError, ArithmeticError, ValueError) as error:
            raise ExpressionError(f"'{self.text}': {_said(error)}") from None
        except RecursionError:
            raise ExpressionError(f"'{self.text}': nested too deeply") from None

    def is_about(self, names: Mapping[str, Any]) -> bool:
        """Whether all its names are known."""
        return all(name in names for name in self.names)

    def holds(self, names: Mapping[str, Any]) -> bool:
        """The truth of a condition; errors as in `value`."""
        return bool(self.value(names))


def dotted_name(node: ast.expr) -> str | None:
    """``array.rows`` of the tree of ``array.rows``; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _check(node: ast.expr, names: dict[str, None], text: str, levels: int) -> bool:
    """Refuse what is not of this language; collect the names, and say whether this part asks for any."""
    if levels == 0:
        raise ExpressionError(f"nested too deeply (more than {MAX_LEVELS} levels)")
    name = dotted_name(node)
    if name is not None:
        if name not in _WORDS:
            names[name] = None
        return name not in _WORDS
    match node:
        case ast.Constant(value=value):
            if value is not None and not isinstance(value, bool | int | float | str):
                raise ExpressionError(f"{value!r} is no number, text, true or false")
            if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
                raise ExpressionError(_BEYOND)
            children: list[ast.expr] = []
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            children = [left, right]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() | ast.Not(), operand=operand):
            children = [operand]
        case ast.BoolOp(values=values):
            children = values
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARE for op in ops):
            children = [left, *others]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            children = [test, body, orelse]
        case ast.Tuple(elts=items) | ast.List(elts=items):
            children = items
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
            if function not in FUNCTIONS:
                raise ExpressionError(f"no function '{function}' (there are: {', '.join(FUNCTIONS)})")
            children = arguments
        case _:
            what = ast.get_source_segment(text, node) or text
            raise ExpressionError(
                f"'{what}' is not allowed; numbers, text, names, + - * / // % **, comparisons, and, or, not, in, "
                f"'a if b else c' and {', '.join(FUNCTIONS)} are"
            )
    asks = [_check(child, names, text, levels - 1) for child in children]
    if isinstance(node, ast.BinOp) and isinstance(node.op, _DIVISIONS) and asks[0] and not asks[1]:
        _arithmetic(node.op, 0, _evaluate(node.right, {}))  # a division by zero, whatever is divided
    if not any(asks):
        # What has no name fails here or never. Its operands have been computed for the same reason; they are small.
        try:
            _evaluate(node, {})
        except ValueError as error:  # of sqrt, log2
            raise ArithmeticError(error) from None
    return any(asks)


def _said(error: Exception) -> str:
    """An error of an operator in words; Python's own for a division by zero differ between its versions."""
    return "division by zero" if isinstance(error, ZeroDivisionError) else str(error)


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    name = dotted_name(node)
    if name is not None:
        return _WORDS[name] if name in _WORDS else _named(name, names[name])
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _evaluate(left, names), _evaluate(right, names)
            return _arithmetic(op, first, second)
        case ast.UnaryOp(op=op, operand=operand):
            value = _evaluate(operand, names)
            return not value if isinstance(op, ast.Not) else -value if isinstance(op, ast.USub) else +value
        case ast.BoolOp(op=op, values=values):
            wanted = isinstance(op, ast.Or)
            value = not wanted
            for item in values:
                value = _evaluate(item, names)
                if bool(value) == wanted:
                    break
            return value
        case ast.Compare(left=left, ops=ops, comparators=others):
            value = _evaluate(left, names)
            for relation, other in zip(ops, others, strict=True):
                second = _evaluate(other, names)
                if not _COMPARE[type(relation)](value, second):
                    return False
                value = second
            return True
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _evaluate(body if _evaluate(test, names) else orelse, names)
        case ast.Call(func=ast.Name(id=function), args=arguments):
            return _bounded(FUNCTIONS[function](*(_evaluate(item, names) for item in arguments)))
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return [_evaluate(item, names) for item in items]
    raise AssertionError(f"not let through by _check: {ast.dump(node)}")


def _named(name: str, value: Any) -> Any:
    """What a name stands for, if it can be computed with; a figure may be infinite."""
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise ValueError(f"{name}: {_BEYOND}")
    if isinstance(value, str | list | tuple | dict) and len(value) > MAX_ITEMS:
        raise ValueError(f"{name}: more than {MAX_ITEMS:,} items or characters")
    return value


def _arithmetic(op: ast.operator, first: Any, second: Any) -> Any:
    for value in (first, second):
        if not isinstance(value, int | float):  # text x number would repeat the text
            raise TypeError(f"{shortened(repr(value))} is no number")
    if isinstance(op, ast.Pow) and abs(second) > MAX_EXPONENT:
        raise ValueError(f"an exponent beyond {MAX_EXPONENT}")
    value = _BINARY[type(op)](first, second)
    if isinstance(value, complex):
        raise TypeError("a root of a negative number")
    if not abs(value) <= MAX_NUMBER:
        raise ValueError(_BEYOND)
    return value


def _bounded(value: Any) -> Any:
    """The result of a function; the text or list that `max` picks is one of its operands."""
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise ValueError(_BEYOND)
    return value


def _rounded(number: Any, digits: Any) -> Any:
    """`round`, whose time and memory grow with the second operand (10 to the power of it is computed)."""
    if digits is not None and abs(digits) > MAX_EXPONENT:
        raise ValueError(f"a number of digits beyond {MAX_EXPONENT}")
    return round(number, digits)
