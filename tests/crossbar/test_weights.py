"""Encoding and mapping: exact reassembly, whatever the scheme."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from accelsim.core.errors import InputError
from accelsim.crossbar.mapping import conv_blocks, linear_blocks, patches
from accelsim.crossbar.weights import COMPLEMENTS, SCHEMES, SIGNS, encode


@settings(max_examples=150)
@given(
    st.integers(2, 9), st.integers(1, 9), st.sampled_from(SCHEMES), st.sampled_from(COMPLEMENTS),
    st.sampled_from(SIGNS), st.integers(0, 10**6),
)  # fmt: skip
def test_every_scheme_reassembles_the_product(bits, cell_bits, scheme, complement, sign, seed):
    rng = np.random.default_rng(seed)
    half = 2 ** (bits - 1)
    top = half if scheme == "offset_column" else half + 1
    weights = rng.integers(-half, top, (int(rng.integers(1, 20)), int(rng.integers(1, 6))))
    inputs = rng.integers(0, 4, (5, weights.shape[0]))
    coded = encode(weights, bits=bits, cell_bits=cell_bits, scheme=scheme, complement=complement, sign=sign)
    assert coded.codes.min() >= 0
    assert coded.codes.max() < 2**cell_bits
    out = coded.decode(coded.column_sums(inputs), inputs.sum(axis=1), inputs)
    assert np.array_equal(out, inputs @ weights)


def test_columns_are_what_the_hardware_needs():
    weights = np.array([[-8, 7], [3, -1], [0, 5]])
    shape = {scheme: encode(weights, bits=4, cell_bits=2, scheme=scheme).codes.shape[1] for scheme in SCHEMES}
    # diff: two slices per weight (0..7 needs 3 bits) and a sign column each; pair: two slices twice (8 needs
    # 4 bits); offset: two slices and one shared reference of two slices.
    assert shape == {"diff": 6, "differential_pair": 8, "offset_column": 6}
    assert encode(weights, bits=4, cell_bits=2, scheme="diff", sign="popcount").codes.shape[1] == 4


def test_complementing_lowers_conductance_and_reports_it():
    weights = np.full((64, 8), 7)
    weights[::4] = 0
    plain = encode(weights, bits=4, cell_bits=4, sign="popcount")
    column = encode(weights, bits=4, cell_bits=3, sign="popcount", complement="column")
    assert column.codes.sum() < plain.codes.sum()
    assert column.flipped.all()
    assert plain.low_resistance_share == 0.0  # 7 of 15
    assert column.low_resistance_share == pytest.approx(0.25)
    assert encode(weights, bits=4, cell_bits=3, sign="popcount").low_resistance_share == pytest.approx(0.75)


@given(st.integers(0, 10**6))
def test_complementing_never_raises_the_sum_of_codes(seed):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-8, 8, (12, 5))
    sums = [
        encode(weights, bits=4, cell_bits=2, scheme="offset_column", complement=how).codes.sum()
        for how in ("none", "array", "column")
    ]
    assert sums[2] <= sums[1] <= sums[0]


@pytest.mark.parametrize(
    ("weights", "more", "message"),
    [
        ([[9]], {}, "-8 to 8"),
        ([[8]], {"scheme": "offset_column"}, "-8 to 7"),
        ([[0.5]], {}, "whole numbers"),
        ([1, 2], {}, "1-dimensional"),
        ([[1]], {"scheme": "dif"}, "did you mean 'diff'"),
        ([[1]], {"complement": "row"}, "none, array, column"),
        ([[1]], {"cell_bits": 0}, "from 1 to 16"),
    ],
)
def test_bad_weights_are_refused(weights, more, message):
    with pytest.raises(InputError, match=message):
        encode(weights, **({"bits": 4, "cell_bits": 2} | more))


@pytest.mark.parametrize("layout", ["kernel_position", "im2col"])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (1, 2, 2)])
def test_row_blocks_add_up_to_the_convolution(layout, stride, padding, dilation):
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 2, (2, 7, 9, 8))
    weights = rng.integers(-8, 9, (5, 7, 3, 2))
    blocks = conv_blocks(7, (3, 2), 4, layout)
    assert blocks.n_blocks == (3 * 2 * 2 if layout == "kernel_position" else -(-42 // 4))
    fields = patches(maps, (3, 2), stride=stride, padding=padding, dilation=dilation)
    cut_w = blocks.cut_weights(weights.reshape(5, -1).T)
    cut_x = blocks.cut_inputs(fields)
    got = np.einsum("byxkn,knm->bmyx", cut_x, cut_w)
    spread = np.zeros((5, 7, 2 * dilation + 1, dilation + 1), dtype=int)
    spread[:, :, ::dilation, ::dilation] = weights
    padded = np.pad(maps, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    for b in range(2):
        for m in range(5):
            expected = correlate(padded[b], spread[m], mode="valid")[0][::stride, ::stride]
            assert np.array_equal(got[b, m], expected)


def test_block_order_is_the_published_one():
    blocks = conv_blocks(70, (3, 3), 64)
    assert blocks.features.shape == (18, 64)
    # Block 3: kernel row 0, column 1, second channel block, of which six channels are real.
    assert blocks.features[3, :6].tolist() == [channel * 9 + 1 for channel in range(64, 70)]
    assert (blocks.features[3, 6:] == -1).all()


def test_every_feature_is_placed_once():
    for blocks in (linear_blocks(100, 64), conv_blocks(9, (3, 3), 4), conv_blocks(9, (3, 3), 4, "im2col")):
        placed = blocks.features[blocks.features >= 0]
        assert np.array_equal(np.sort(placed), np.arange(blocks.n_features))


def test_misfits_are_named():
    with pytest.raises(InputError, match=r"\[100, M\]"):
        linear_blocks(100, 64).cut_weights(np.zeros((99, 2)))
    with pytest.raises(InputError, match="smaller than the kernel"):
        patches(np.zeros((1, 1, 2, 2)), (3, 3))
    with pytest.raises(InputError, match="kernel_position, im2col"):
        conv_blocks(3, (3, 3), 64, "rows")
