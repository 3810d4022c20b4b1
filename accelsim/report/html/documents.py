"""The JSON documents that pages are made of: what a page reads in each, and what is wrong with a file that lacks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import Keys, dotted, read_json

MOST_RESULT = 2**28
"""Bytes of a result file."""
_SHOWN_PROBLEMS = 8

# A type stands for a value of this type (`float`: any number); {"*": kind} for a mapping with any keys; [kind] for a
# list, [kind, ...] for one that is not empty, [kind, kind] for two; (value, kind) for this value or a kind. A key with
# a question mark may be missing and is then empty. What else a document holds is left alone.
Kind = Any


def _numbers(*keys: str) -> dict[str, Kind]:
    return dict.fromkeys(keys, float)


_LINE = _numbers("count", "energy_pj")
_WORKLOAD = {"name": str, "timesteps": int, "hash?": str}
_HARDWARE = {"name": str, "kind?": str, "hash?": str}
_LAYER = {
    "name": str,
    "kind?": str,
    **_numbers("cycles", "stall_cycles?", "utilization?", "latency_ns", "energy_pj", "accumulations?", "macs?"),
    "components": {"*": _LINE},
    "timesteps?": [_numbers("cycles", "energy_pj")],
}
_RESULT = {
    "version?": str,
    "workload": _WORKLOAD,
    "hardware": _HARDWARE,
    "fidelity?": str,
    "totals": _numbers(
        "energy_pj", "dynamic_energy_pj", "static_energy_pj", "latency_ns", "cycles", "area_um2", "edp_pj_ns"
    ),
    "estimated": _numbers("energy_pj", "ann_energy_pj", "accumulations?", "macs?"),
    "breakdown?": {"*": float},
    "layers": [_LAYER],
    "components": {"*": _LINE},
    "area?": {"*": float},
    "unit_costs?": {"*": {"energy_pj": float, "category": str, "source": str}},
    "part_costs?": {"*": {**_numbers("instances", "leakage_mw", "area_um2"), "source": str}},
    "notes?": [str],
}
_COMPARISON = {
    "hardware": str,
    **_numbers("estimated_pj", "realistic_pj", "estimated_ann_pj", "realistic_ann_pj"),
    **dict.fromkeys(("ratio?", "claimed_gain?", "realistic_gain?"), (None, float)),
}
_EXIT = {
    "threshold": ("inf", float),
    **_numbers("accuracy", "mean_timesteps", "energy_pj", "latency_ns", "edp_pj_ns"),
}
_FIGURE = {
    "item": str,
    "column": str,
    "unit": str,
    **dict.fromkeys(("printed", "reproduced", "physical", "relative_error"), (None, float)),
    "within_tolerance": (None, bool),
    "note?": str,
    "source?": str,
}
_CONVENTION = {
    "name": str,
    "kind": str,
    "title": str,
    "energy_pj": (None, float),
    "ratio": (None, float),
    "leaves_out?": str,
    "source?": str,
}

SCHEMAS: dict[str, dict[str, Kind]] = {
    "accelsim.result/1": _RESULT,
    "accelsim.results/1": {"results": [_RESULT, ...], "ann_results?": [_RESULT], "comparison?": [_COMPARISON]},
    "accelsim.inference/1": {
        "version?": str,
        "workload": _WORKLOAD,
        "hardware": _HARDWARE,
        **_numbers("accuracy", "ideal_accuracy", "energy_pj", "latency_ns", "edp_pj_ns", "area_um2"),
        "accuracy_ci": [float, float],
        "spike_mismatch?": {"*": {"mean": float, "timesteps": [float]}},
        "breakdown?": {"*": float},
        "conventions_pj?": {"*": float},
        "early_exit?": (None, {"machine?": str, "points": [_EXIT]}),
        "ablation?": [{"added": str, "accuracy": float}],
        "notes?": [str],
    },
    "accelsim.reproduce/1": {
        "version?": str,
        "experiments": [
            {"name": str, "title?": str, "rows": [_FIGURE], "notes?": [str], "inputs?": {"*": str}},
        ],
    },
    "accelsim.explanation/1": {
        "workload": _WORKLOAD,
        "reference": str,
        "rows": [_CONVENTION],
        "notes?": [str],
    },
}


def read_document(path: Path) -> dict[str, Any]:
    """Read and check a JSON document that accelsim wrote.

    Raises:
        InputError: missing, unreadable or not JSON; not a document of accelsim; keys missing, given twice or of a wrong
            kind; numbers or texts that are none.
    """
    return checked(read_json(path, MOST_RESULT), str(path))


def checked(data: Any, shown: str) -> dict[str, Any]:
    """What pages read of a document; `shown` names it in complaints.

    Raises:
        InputError: see `read_document`.
    """
    known = ", ".join(SCHEMAS)
    if not isinstance(data, dict):
        raise InputError(Problem(f"expected a JSON object, found {type(data).__name__}", shown))
    if "schema" not in data:
        message = f"no 'schema': not a result that accelsim wrote with --format json or --out (known: {known})"
        raise InputError(Problem(message, shown))
    schema = data["schema"]
    if not isinstance(schema, str) or schema not in SCHEMAS:
        hint = did_you_mean(schema, SCHEMAS) if isinstance(schema, str) else ""
        raise InputError(Problem(f"no page can be made of {schema!r}{hint} (known: {known})", shown, where="schema"))
    wrong: list[tuple[Keys, str]] = []
    read: dict[str, Any] = _read(data, {"schema": str, **SCHEMAS[schema]}, (), wrong)
    if wrong:
        problems = [Problem(message, shown, where=dotted(place)) for place, message in wrong[:_SHOWN_PROBLEMS]]
        more = [Problem(f"and {len(wrong) - len(problems)} more", shown)] if len(wrong) > len(problems) else []
        raise InputError(problems + more)
    return read


_NAMES = {float: "number", int: "integer", str: "string", bool: "boolean", dict: "dictionary", list: "list"}


def _read(value: Any, kind: Kind, place: Keys, wrong: list[tuple[Keys, str]]) -> Any:
    """What there is of a kind in a value; each place where something else stands is told to `wrong`."""
    if isinstance(kind, tuple):
        *others, kind = kind
        if value in others:
            return value
    if kind is float and type(value) is int:
        return float(value)
    wanted: Any = kind if isinstance(kind, type) else type(kind)
    if type(value) is not wanted:
        wrong.append((place, _found(f"input should be a valid {_NAMES[wanted]}", value)))
    elif wanted is list:
        if len(value) != len(kind) and len(kind) > 1 and not (value and kind[1] is ...):
            wrong.append((place, _found(f"list should have {'some' if kind[1] is ... else len(kind)} items", value)))
        return [_read(item, kind[0], (*place, index), wrong) for index, item in enumerate(value)]
    elif wanted is dict and "*" in kind:
        return {key: _read(item, kind["*"], (*place, key), wrong) for key, item in value.items()}
    elif wanted is dict:
        found = {}
        for key, inner in kind.items():
            name = key.removesuffix("?")
            if name in value:
                found[name] = _read(value[name], inner, (*place, name), wrong)
            elif name == key:
                wrong.append(((*place, name), "missing"))
            else:
                found[name] = (
                    None if isinstance(inner, tuple) else (inner if isinstance(inner, type) else type(inner))()
                )
        return found
    return value


def _found(message: str, value: Any) -> str:
    found = repr(value)
    return f"{message}, found {found[:60]}{'...' if len(found) > 60 else ''}"
