"""SCALE-Sim's CSV topologies: the same products as SCALE-Sim computes, and messages that name the line."""

from __future__ import annotations

import itertools
import math
from collections import deque

import numpy as np
import pytest
import yaml

from accelsim.core.errors import InputError
from accelsim.frontend import import_topology, topology_yaml
from accelsim.frontend.topology import topology_workload
from accelsim.workload import load_workload

CONV = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1, 34, 34, 3, 3, 3, 16, 1,
Conv2, 34, 34, 3, 3, 16, 32, 1,
Conv3, 8, 8, 3, 3, 32, 32, 1,
FC, 1, 1, 1, 1, 1152, 10, 1,
"""
GEMM = """Layer, M, N, K,
QKV, 64, 192, 128,
Proj, 64, 128, 192,
Head, 1, 10, 128,
"""


@pytest.fixture
def csv_file(tmp_path):
    def write(text):
        path = tmp_path / "net.csv"
        path.write_text(text)
        return path

    return write


def scale_sim_gemm(row):
    """M, K, N as SCALE-Sim's topology_utils computes them: ceil((ifmap - filter + stride) / stride)."""
    height, width, taps_h, taps_w, channels, filters, stride = row
    out = [math.ceil((size - taps + stride) / stride) for size, taps in ((height, taps_h), (width, taps_w))]
    return out[0] * out[1], taps_h * taps_w * channels, filters


def test_convolutions_have_scale_sims_products(csv_file):
    workload = topology_workload(csv_file(CONV))
    rows = [tuple(int(cell) for cell in line.split(",")[1:8]) for line in CONV.splitlines()[1:]]
    found = [(op.gemm.m, op.gemm.k, op.gemm.n) for op in workload.graph.weighted]
    assert found == [scale_sim_gemm(row) for row in rows]


def test_rows_are_chained_where_padding_explains_the_sizes(csv_file):
    layers = {layer["name"]: layer for layer in import_topology(csv_file(CONV))["layers"]}
    assert layers["Conv2"]["inputs"] == ["Conv1.lif"]
    assert layers["Conv2"]["padding"] == [1, 1]
    assert layers["Conv3"]["inputs"] == ["Conv3.in"]
    assert layers["Conv3.in"]["op"] == "opaque"
    assert layers["FC"]["op"] == "linear"


def test_a_stride_that_does_not_fit_keeps_scale_sims_last_window(csv_file):
    header = CONV.splitlines()[0]
    workload = topology_workload(csv_file(f"{header}\nC, 8, 8, 3, 3, 4, 5, 2,\n"))
    assert workload.graph.weighted[0].gemm.m == scale_sim_gemm((8, 8, 3, 3, 4, 5, 2))[0] == 16


def test_products(csv_file):
    workload = topology_workload(csv_file(GEMM), timesteps=2, density=[0.1, 0.3])
    assert [(op.gemm.m, op.gemm.n, op.gemm.k) for op in workload.graph.weighted] == [
        (64, 192, 128),
        (64, 128, 192),
        (1, 10, 128),
    ]
    assert workload.graph.by_name["Proj"].inputs == ("QKV.lif",)
    assert workload.graph.by_name["Head"].inputs == ("Head.in",)
    assert workload.activity["Proj"].density == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize(
    "density",
    [(0.1, 0.3), np.array([0.1, 0.3]), (x for x in (0.1, 0.3)), map(float, ("0.1", "0.3")), deque([0.1, 0.3])],
)
def test_densities_of_timesteps_come_in_whatever_holds_numbers(csv_file, density):
    content = import_topology(csv_file(GEMM), timesteps=2, density=density)
    assert content["activity"]["density"] == [0.1, 0.3]


@pytest.mark.parametrize(
    ("density", "message"),
    [
        (itertools.repeat(0.1), "density: found more than 10,000 numbers"),
        ({0.1, 0.3}, "density: found set of 2 items, must be a list of numbers"),
        ((x for x in (0.1, "a")), "expected a number between 0 and 1, found 'a'"),
        ((x for x in (0.1, object())), r"density\[1\]: found object"),
        (iter(()), "an empty list of densities"),
        ("0.1", "expected a number between 0 and 1, found '0.1'"),
    ],
)
def test_densities_that_are_none_are_refused(csv_file, density, message):
    with pytest.raises(InputError, match=message):
        import_topology(csv_file(GEMM), density=density)


def test_the_text_is_a_workload_file(csv_file, tmp_path):
    text = topology_yaml(csv_file(CONV), name="mine", timesteps=3)
    assert yaml.safe_load(text)["name"] == "mine"
    (tmp_path / "mine.yaml").write_text(text)
    assert load_workload(tmp_path / "mine.yaml").timesteps == 3


def test_layers_without_neurons(csv_file):
    kinds = {op.kind for op in topology_workload(csv_file(CONV), neurons=False).graph.operations}
    assert "neuron" not in kinds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "net.csv:1: the file is empty"),
        (CONV.splitlines()[0], "net.csv:1: a header, but no layers"),
        ("Layer, X, Y,\na, 1, 2,", "net.csv:1: found the columns 'Layer, X, Y', expected"),
        (GEMM + "Bad, 1, 2,\n", "net.csv:5: 'Bad' has 2 numbers, expected 3: m, n, k"),
        (GEMM + "Bad, 1, 2.5, 3,\n", "net.csv:5: n of 'Bad': found '2.5', expected a whole number"),
        (GEMM + "Bad, 1, 0, 3,\n", "net.csv:5: n of 'Bad': found '0', expected a whole number of at least 1"),
        (CONV + "Big, 2, 2, 3, 3, 10, 4, 1,\n", "net.csv:6: the filter 3x3 of 'Big' is larger than its input 2x2"),
        (CONV + "Pruned, 4, 4, 3, 3, 10, 4, 1, 2:4,\n", "net.csv:6: the sparsity '2:4' of 'Pruned'"),
    ],
)
def test_bad_rows_are_named_by_line(csv_file, text, message):
    with pytest.raises(InputError) as error:
        import_topology(csv_file(text))
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.csv: no such file"):
        import_topology(tmp_path / "gone.csv")
