"""Files as SCALE-Sim's users have them: the same products as SCALE-Sim runs, or a complaint with the line.

What SCALE-Sim (v2 and 3.0, `topology_utils`) does is written down here on its own: it drops the first line, goes by the
place of a number alone, and runs a convolution whose name holds "DP" once for each channel, with one channel.
"""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import AccelsimError, InputError
from accelsim.frontend import import_topology
from accelsim.frontend.topology import topology_workload
from accelsim.machines.systolic.dataflows.output_stationary import OutputStationary

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
GEMM = "Layer, M, N, K,"
# The first layers of MobileNet v1 (Howard et al., arXiv:1704.04861, table 1) on maps of 32 x 32, padding included.
MOBILE = """Conv1, 34, 34, 3, 3, 3, 32, 2,
Conv2_DP, 18, 18, 3, 3, 32, 1, 1,
Conv3, 16, 16, 1, 1, 32, 64, 1,
Conv4_DP, 18, 18, 3, 3, 64, 1, 2,
Conv5, 8, 8, 1, 1, 64, 128, 1,
FC, 1, 1, 1, 1, 128, 10, 1,"""


@pytest.fixture
def read(tmp_path):
    def products(text):
        """(m, k, n) of every product; a depthwise layer is as many products as it has channels."""
        path = tmp_path / "net.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        gemms = [op.gemm for op in topology_workload(path).graph.weighted]
        return [(gemm.m, gemm.k, gemm.n) for gemm in gemms for _ in range(gemm.groups)]

    return products


def scale_sim(rows):
    """The products that SCALE-Sim runs for rows of a name and seven or eight numbers."""
    found = []
    for name, height, width, taps_h, taps_w, channels, filters, *strides in rows:
        down, across = (strides * 2)[:2]
        pixels = math.ceil((height - taps_h + down) / down) * math.ceil((width - taps_w + across) / across)
        times, inside = (channels, 1) if "DP" in name else (1, channels)
        found += [(pixels, taps_h * taps_w * inside, filters)] * times
    return found


def rows_of(text):
    cells = [line.split(",") for line in text.splitlines()]
    return [(line[0].strip(), *(int(cell) for cell in line[1:] if cell.strip())) for line in cells]


def test_depthwise_layers(read):
    assert read(f"{CONV}\n{MOBILE}\n") == scale_sim(rows_of(MOBILE))
    assert read(f"{CONV}\nUpDP, 6, 6, 3, 3, 5, 4, 1,\n") == [(16, 9, 4)] * 5, "four filters for each of five channels"
    assert read(f"{CONV}\nConv2_dw, 6, 6, 3, 3, 5, 4, 1,\n") == [(16, 45, 4)], "SCALE-Sim knows capitals alone"
    assert read(f"{CONV}\nP_DP, 1, 1, 1, 1, 5, 1, 1,\n") == [(1, 1, 1)] * 5


def test_a_depthwise_layer_takes_the_cycles_of_its_channels(tmp_path):
    """32 channels of 144 pixels: nine folds of 16 rows, each 9 + 16 + 8 - 2 cycles on an array of 16 x 8."""
    path = tmp_path / "net.csv"
    path.write_text(f"{CONV}\nConv2_DP, 14, 14, 3, 3, 32, 1, 1,\n")
    (op,) = topology_workload(path).graph.weighted
    assert OutputStationary().cycles(op.gemm, 16, 8) == 32 * 9 * 31 == 8928


def decorated(rows, choose):
    """The same layers with what stands beside them in files of SCALE-Sim and of spreadsheets."""
    extra = choose(["", "", " Sparsity,", " Batch Size,", ",,Eh,Ew,e2", " Stride Width, Sparsity, Batch,", "notes"])
    value = {" Sparsity,": " 1:1,", " Batch Size,": "1,", ",,Eh,Ew,e2": ",,8,10,80", "notes": " see paper"}.get(
        extra, ""
    )
    header = choose([CONV, CONV.upper(), CONV.replace("Height, IFMAP W", "Width, IFMAP W"), CONV.replace(" ", "")])
    lines = [header + extra]
    for name, *numbers in rows:
        lines += [choose(["", "", ",,,,,,,", "Stage one,", "# a comment", " , ,"])]
        tail = f"{numbers[-1]}, 4:4, 1," if extra.startswith(" Stride") else value
        cells = [choose(["{}", " {}", "\t{} ", "0{}", '"{}"']).format(number) for number in numbers]
        comma = choose([",", ",", ",#dw"]) if not tail else ","
        lines += [f"{choose(['', chr(9)])}{name}," + ",".join(cells) + comma + tail]
        if not tail and choose([True, False]):
            lines[-1] = lines[-1].rstrip(",")
    text = choose(["\n", "\r\n", "\r"]).join(lines) + choose(["", "\n", "\n\n"])
    if choose([True, False, False]):
        text = text.replace(",", choose(["\t", ";"])) if "\t" not in text else text
    return choose([b"", b"\xef\xbb\xbf"]) + text.encode()


layers = st.tuples(
    st.sampled_from(["a", "conv_DP", "FC", "b", "x y", "Attn_QxK'"]), st.integers(3, 12), st.integers(3, 12),
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3),
)  # fmt: skip


@given(st.lists(layers, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_what_stands_beside_the_numbers_changes_nothing(tmp_path_factory, rows, chance):
    path = tmp_path_factory.mktemp("topology") / "net.csv"
    path.write_bytes(decorated(rows, chance.choice))
    gemms = [op.gemm for op in topology_workload(path).graph.weighted]
    assert [(gemm.m, gemm.k, gemm.n) for gemm in gemms for _ in range(gemm.groups)] == scale_sim(rows)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99), st.integers(1, 99)), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_products_with_a_column_more(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("topology") / "net.csv"
    for header, tail in (("", ""), (" Sparsity,", " 1:1,"), (" Batch,", " 1,"), ("", " 1,"), (" Sparsity,", "1,")):
        lines = [f"layer{index}, {m}, {n}, {k},{tail}" for index, (m, n, k) in enumerate(rows)]
        path.write_text("\n".join([GEMM + header, *lines]))
        gemms = [op.gemm for op in topology_workload(path).graph.weighted]
        assert [(gemm.m, gemm.n, gemm.k) for gemm in gemms] == rows


def test_two_strides(read):
    header = CONV.replace("Strides,", "Stride height, Stride width,")
    assert (
        read(f"{header}\na, 9, 9, 3, 3, 2, 4, 2, 1,\n") == [(28, 18, 4)] == scale_sim([("a", 9, 9, 3, 3, 2, 4, 2, 1)])
    )


def test_names_asked_for_many_times(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text(GEMM + "\n" + "same, 1, 1, 1,\n" * 2000)
    names = [op.name for op in topology_workload(path).graph.operations]
    assert len(set(names)) == len(names) == 3999


def test_columns_that_are_not_read_are_told(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text(f"{CONV},,Eh,Ew\na,10,12,3,3,2,4,1,,,8,10\n")
    assert import_topology(path)["description"].endswith("; its columns Eh, Ew are not read")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{CONV}\na,8,8,3,3,2,4,1,2:4,", ":2: the sparsity '2:4' of 'a' prunes weights; a workload holds dense"),
        (f"{CONV} Sparsity\na,8,8,3,3,2,4,1,dense,", ":2: sparsity of 'a': found 'dense', expected N:M"),
        (f"{CONV} Sparsity\na,8,8,3,3,2,4,1,0:0,", ":2: the sparsity '0:0'"),
        (f"{GEMM} Sparsity\na,8,8,3,1:4,", ":2: the sparsity '1:4' of 'a' prunes weights"),
        (f"{GEMM} Batch\na,8,8,3,4,", ":2: a batch of 4 of 'a': figures are of one image; write 1 and multiply"),
        (f"{GEMM}\na,8,8,3,4,", ":2: a batch of 4 of 'a'"),
        (f"{CONV} Batch Size\na,8,8,3,3,2,4,1,0,", ":2: batch of 'a': found '0', expected a whole number"),
        (f"{CONV}\na,8,8,3,3,2,4,2,1,", ":2: 'a' has 8 numbers, expected 7"),
        (f"{CONV}\na,8,8,3,3,2,4,", ":2: 'a' has 6 numbers, expected 7"),
        (f"{CONV} Padding\na,8,8,3,3,2,4,1,1", ":1: the column 'Padding' is not known, and may change"),
        (f"{CONV} Batch, Batch Size\na,8,8,3,3,2,4,1,1,1", ":1: the column 'Batch Size' is given twice"),
        ("a,8,8,3,3,2,4,1,", ":1: found the columns 'a, 8, 8, 3, 3, 2, 4, 1"),
        ("Layer, IFMAP Width, IFMAP Height, Filter Height, Filter Width, Channels, Num Filter, Strides\n", ":1: found"),
        (f"{CONV}\nStage one,\n", ":1: a header, but no layers"),
        (f"{CONV}\n\n# x\nb, 8, 8, 3, 3, 2, 4, 1e3,", ":4: strides of 'b': found '1e3', expected a whole number"),
        (f"{GEMM}\na, 3.0, 2, 1,", ":2: m of 'a': found '3.0', expected a whole number of at least 1"),
        (f"{GEMM}\na, -3, 2, 1,", ":2: m of 'a': found '-3', expected a whole number of at least 1"),
        (f"{GEMM}\na, 00, 2, 1,", ":2: m of 'a': found '00', expected a whole number of at least 1"),
        (f"{GEMM}\na, ٣, 2, 1,", ":2: m of 'a': found '٣', expected a whole number of at least 1"),
        (f"{GEMM}\na, {'9' * 5000}, 2, 1,", "' of 5,000 digits, must be at most 2147483647"),
        (f"{GEMM}\na, 2147483648, 2, 1,", ":2: m of 'a': found '2147483648', must be at most 2147483647"),
        (f"{GEMM}\na, 1, , 1,", ":2: n of 'a': found '', expected a whole number of at least 1"),
        (f'{GEMM}\n"a, 1, 2, 1,', ":2: not a line of CSV: unexpected end of data"),
        (f"{GEMM}\n{'x' * 200_000}, 1, 2, 1,", ":2: not a line of CSV: field larger than field limit"),
        (b"\xff\xfea", ":1: not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(read, text, message):
    with pytest.raises(InputError) as error:
        read(text)
    assert f"net.csv{message}" in str(error.value) or ("digits" in message and message in str(error.value))


def test_text_changed_anywhere_is_read_or_refused(tmp_path):
    """Characters that matter, put in, left out or exchanged; nothing but a complaint or a workload comes of it."""
    chance, path = random.Random(0), tmp_path / "net.csv"
    texts = [f"{CONV}\n{MOBILE}\n", f"{GEMM} Sparsity,\na, 3, 5, 16, 1:1,\nb, 3, 16, 5, 1:1,\n"]
    refused = 0
    for turn in range(600):
        text = list(texts[turn % 2])
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text[place] = chance.choice(
                ["", ",", "\n", "\r", '"', "'", ";", "\t", "#", "-", "9" * 30, ":", "DP", "\0", "\u2028", "é"]
            )
        path.write_text("".join(text))
        try:
            topology_workload(path)
        except AccelsimError as error:
            refused += 1
            assert str(path) in str(error) or "layers[" in str(error)  # noqa: PT017
    assert 100 < refused < 600


def test_places_where_no_file_is(tmp_path):
    for path in (tmp_path / "gone.csv", tmp_path, tmp_path / ("n" * 300), "a\0b"):
        with pytest.raises(InputError, match=r"no such file|cannot be read|found a directory|no file system can hold"):
            import_topology(path)
