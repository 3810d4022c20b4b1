"""Small NIR graphs with every kind of node, and values that no field of them can have."""

from __future__ import annotations

import itertools
from dataclasses import fields as dataclass_fields

import numpy as np

from accelsim.core.errors import AccelsimError
from accelsim.frontend import from_nir
from tests.skips import peer

nir = peer("nir")
DT = 1e-4


def neurons(kind, *shape, **given):
    usual = {"tau": 2e-4, "tau_mem": 2e-4, "tau_syn": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0}
    wanted = {field.name for field in dataclass_fields(kind)}
    values = {name: value for name, value in {**usual, "threshold": 0.5, **given}.items() if name in wanted}
    return kind(**{name: np.full(shape, value) for name, value in values.items()})


def graph(nodes, edges=None, shape=(2,), out=(3,)):
    names = ["input", *nodes, "output"]
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(out))}
    return nir.NIRGraph({**ends, **nodes}, edges or list(itertools.pairwise(names)), metadata={}, type_check=False)


def linear():
    return graph(
        {
            "fc": nir.Affine(np.full((3, 2), 0.5), np.zeros(3)),
            "lif": neurons(nir.LIF, 3),
            "scale": nir.Scale(np.full(3, 2.0)),
            "last": nir.Linear(np.full((3, 3), 0.25)),
        }
    )


def maps():
    return graph(
        {
            "conv": nir.Conv2d((6, 6), np.full((4, 2, 3, 3), 0.1), (1, 1), (1, 1), (1, 1), 1, np.zeros(4)),
            "if": neurons(nir.IF, 4, 6, 6, r=1e4),
            "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "depthwise": nir.Conv2d((3, 3), np.full((4, 1, 3, 3), 0.1), (1, 1), "same", (1, 1), 4, np.zeros(4)),
            "threshold": neurons(nir.Threshold, 4, 3, 3),
            "mean": nir.AvgPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0])),
            "flat": nir.Flatten(np.array([4, 1, 1]), 0, -1),
            "last": nir.Linear(np.full((3, 4), 0.25)),
        },
        shape=(2, 6, 6),
    )


def rows():
    return graph(
        {
            "conv": nir.Conv1d(10, np.full((4, 2, 3), 0.1), 1, 1, 1, 1, np.zeros(4)),
            "cuba": neurons(nir.CubaLIF, 4, 10),
        },
        shape=(2, 10),
        out=(4, 10),
    )


def nested():
    inner = graph({"fc": nir.Linear(np.full((3, 3), 0.3)), "lif": neurons(nir.LIF, 3)}, shape=(3,))
    return graph({"first": nir.Linear(np.full((3, 2), 0.3)), "block": inner, "li": neurons(nir.LI, 3)})


MAKERS = {"linear": linear, "maps": maps, "rows": rows, "nested": nested}

WRONG = {
    "nothing": None,
    "text": "many",
    "empty text": "",
    "bytes": b"\xff\xfe",
    "true": True,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "half": 0.5,
    "huge": 10**30,
    "large": 2**40,
    "nan": float("nan"),
    "infinite": float("inf"),
    "beyond float32": 1e300,
    "complex": 1 + 2j,
    "list": [1, 2, 3, 4, 5],
    "ragged": [[1, 2], [3]],
    "mapping": {"input": 3},
    "object": object(),
    "none left": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "scalar array": np.array(1.0),
    "five axes": np.ones((1, 1, 1, 1, 1)),
    "three": np.ones(3),
    "minus ones": -np.ones(3),
    "nan inside": np.array([1.0, np.nan, 1.0]),
    "huge inside": np.array([1.0, 1e300, 1.0]),
    "objects": np.array([1, None, "a"], dtype=object),
    "texts": np.array(["a", "b", "c"]),
    "dates": np.array(["2020-01-01"] * 3, dtype="datetime64[D]"),
    "complex inside": np.ones(3, dtype=complex),
    "whole": np.ones((3, 3), dtype=np.int8),
    "half precision": np.ones((3, 3), dtype=np.float16),
}


def told_or_read(source, **options):
    """The bundle, or None where the complaint is one of accelsim's."""
    try:
        return from_nir(source, **{"dt": DT, "timesteps": 2, "activity": 0.2, "verbose": False, **options})
    except AccelsimError:
        return None
