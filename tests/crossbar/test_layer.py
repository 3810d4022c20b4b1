"""The compiled product, its random numbers, and layers made of it."""

import numba
import numpy as np
import pytest
from scipy import stats

from accelsim.core.errors import InputError
from accelsim.crossbar import layer as programmed
from accelsim.crossbar.converters import Adc, Dac
from accelsim.crossbar.devices import Device
from accelsim.crossbar.kernels.mvm import multiply, pack_matrices, pack_spikes
from accelsim.crossbar.kernels.normal import (
    GROUP,
    PAIRS,
    add_normals,
    fill_keys,
    philox2x32,
)
from accelsim.crossbar.layer import program_layer
from accelsim.crossbar.mapping import conv_blocks, patches
from accelsim.crossbar.solution import Wires
from accelsim.crossbar.study import loss_table, study_array
from accelsim.crossbar.weights import COMPLEMENTS, SCHEMES
from tests.oracles import crossbar as plainly

CELL = Device.preset("neurosim_default")
SHAPE = {"rows": 64, "cols": 16, "bits": 4, "cell_bits": 2}


def normals(seed, block, first, reads, groups=4):
    """Normals [reads, 32 groups] as the kernel adds them to sums of variance one."""
    keys = np.empty((reads, 2), dtype=np.uint32)
    fill_keys(seed, block, first, keys)
    radii, angles = (np.empty(reads * PAIRS, dtype=np.uint32) for _ in range(2))
    squares = np.empty(reads * PAIRS, dtype=np.float32)
    parts = []
    for group in range(groups):
        total = np.zeros((reads, 2 * GROUP), dtype=np.float32)
        total[:, GROUP:] = 1.0
        add_normals(total, keys, reads, group, radii, angles, squares)
        parts.append(total[:, :GROUP])
    return np.concatenate(parts, axis=1)


def test_philox_gives_the_published_words():
    """Known answers of Random123 for philox2x32-10."""
    assert [int(word[0]) for word in philox2x32([0], [0], 0)] == [0xFF1DAE59, 0x6CD10DF2]
    ones = 0xFFFFFFFF
    assert [int(word[0]) for word in philox2x32([ones], [ones], ones)] == [0x2C3F628B, 0xAB4FD7AD]


@pytest.mark.parametrize("where", [(0, 0, 0), (12345, 3, 2**33 + 17), (2**32 - 1, 700, 5)])
def test_normals_equal_their_double_precision_sibling(where):
    z = normals(*where, 64)
    assert np.abs(z - plainly.normals(*where, 64, z.shape[1])).max() < 2e-6
    assert np.array_equal(plainly.normals(*where, 64, 37), plainly.normals(*where, 64, 128)[:, :37])


def test_normals_are_normal():
    z = normals(1, 0, 0, 4000).astype(float)
    flat = z.reshape(-1)  # 512000
    assert stats.kstest(flat, "norm").pvalue > 1e-3
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((flat**power).mean() - moment) < 4 * (spread / flat.size) ** 0.5
    # Every column by itself, and the tails: as many beyond 3.5 sigma as there should be.
    assert min(stats.kstest(column, "norm").pvalue for column in z.T) > 1e-3 / z.shape[1]
    beyond = (np.abs(flat) > 3.5).sum()
    assert abs(beyond - 2 * stats.norm.sf(3.5) * flat.size) < 4 * (2 * stats.norm.sf(3.5) * flat.size) ** 0.5


def test_normals_of_other_columns_reads_blocks_and_seeds_are_unrelated():
    """Correlations of the numbers and of their squares, against the spread of 4000 independent ones."""
    z = normals(1, 0, 0, 4000).astype(float)
    for values in (z, z**2, np.sign(z)):
        columns = np.corrcoef(values, rowvar=False) - np.eye(128)
        assert np.abs(columns).max() < 5.5 / 4000**0.5
        scaled = (columns[np.triu_indices(128, 1)] * 4000**0.5).std()
        assert abs(scaled - 1) < 0.05
        following = [np.corrcoef(values[:-1, c], values[1:, c])[0, 1] for c in range(0, 128, 8)]
        assert np.abs(following).max() < 5 / 4000**0.5
    for other in ((2, 0, 0), (1, 1, 0), (1, 0, 4000), (1, 0, 1)):
        there = normals(*other, 4000).astype(float)
        for power in (1, 2):
            assert abs(np.corrcoef((z**power).reshape(-1), (there**power).reshape(-1))[0, 1]) < 5 / z.size**0.5


def test_words_fill_the_square_evenly_and_flip_with_every_bit_of_the_key():
    a, b = (word.astype(np.uint64) for word in plainly.words(7, 1, 0, 20000, 32))
    for one, other in ((a, b), (a[:, :-1], a[:, 1:]), (b[:, :-1], b[:, 1:]), (a[:, :-1], b[:, 1:])):
        for shift in (0, 9, 28):  # lowest bits, those next to what is used, highest
            cells = (one >> np.uint64(shift) & np.uint64(15)) * np.uint64(16) + (
                other >> np.uint64(shift) & np.uint64(15)
            )
            counts = np.bincount(cells.reshape(-1).astype(np.int64), minlength=256)
            assert stats.chisquare(counts).pvalue > 1e-5
    for block in range(0, 64, 7):
        here, there = (plainly.words(7, other, 0, 500, 16)[0] for other in (block, block ^ 1))
        flipped = np.bitwise_count(here ^ there).mean() / 32
        assert abs(flipped - 0.5) < 0.01


def test_reads_do_not_depend_on_the_batch_they_come_in():
    rng = np.random.default_rng(0)
    words = pack_spikes(rng.random((700, 3, 70)) < 0.2)
    matrices = pack_matrices(rng.random((3, 70, 45)), rng.random((3, 70, 45)))
    gain = rng.choice(np.array([-1, 1], dtype=np.int32), (3, 45))
    for adc in (None, (0.25, -2, 9)):
        whole, active, clipped = multiply(words, matrices, gain, adc, 3, 100)
        parts = [
            multiply(words[s], matrices, gain, adc, 3, 100 + s.start)
            for s in (slice(0, 1), slice(1, 300), slice(300, 700))
        ]
        assert np.array_equal(np.concatenate([part[0] for part in parts]), whole)
        assert np.array_equal(np.concatenate([part[1] for part in parts]), active)
        assert sum(part[2] for part in parts) == clipped


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 64, 32), (3, 65, 33), (1, 200, 64), (2, 7, 129)])
@pytest.mark.parametrize("adc", [None, (0.0, 0, 15), (-3.0, 1, 12), (2.5, -4, 3)])
def test_products_of_any_shape_equal_the_plain_ones(shape, noisy, adc):
    """Silent reads, full ones, offsets whose zero clips, columns and rows that fill no tile."""
    rng = np.random.default_rng(sum(shape))
    blocks, rows, cols = shape
    matrix = rng.random(shape).astype(np.float32) / 4
    variance = rng.random(shape).astype(np.float32) / 50 if noisy else None
    density = rng.choice([0.0, 0.1, 0.9, 1.0], (150, 1, 1))
    spikes = rng.random((150, blocks, rows)) < density
    gain = rng.choice(np.array([-1, 1], dtype=np.int32), (blocks, cols))
    found, active, clipped = multiply(pack_spikes(spikes), pack_matrices(matrix, variance), gain, adc, 9, 2**32 - 3)
    wanted, missed = plainly.mvm(spikes, matrix, variance, 9, adc, gain, 2**32 - 3)
    assert np.array_equal(active, spikes.sum(axis=2))
    if adc is None:
        assert np.allclose(found, wanted, rtol=0, atol=2e-5 * max(1, np.abs(wanted).max()))
        return
    differ = found != wanted
    assert differ.mean() <= 2e-3
    assert abs(clipped - missed) <= differ.sum()
    if adc[1] > 0:  # zero itself is out of range: columns that only fill a tile must not count
        assert missed > 0


def test_packing_places_row_n_in_bit_n():
    flags = np.zeros((1, 130), dtype=bool)
    flags[0, [0, 63, 64, 129]] = True
    assert pack_spikes(flags).tolist() == [[1 | 1 << 63, 1, 2]]


def make(rng_seed=0, features=150, outputs=10, **more):
    rng = np.random.default_rng(rng_seed)
    weights = rng.integers(-8, 8, (features, outputs))
    return weights, program_layer(weights, more.pop("device", CELL), **(SHAPE | {"baseline": "column"} | more))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("complement", COMPLEMENTS)
@pytest.mark.parametrize("sign", ["column", "popcount"])
def test_ideal_crossbars_give_the_exact_product(scheme, complement, sign):
    weights, layer = make(scheme=scheme, complement=complement, sign=sign)
    spikes = np.random.default_rng(1).random((70, 150)) < 0.3
    for adc in (None, Adc(8, layer.unit_a)):
        out = layer.read(spikes, adc)
        assert np.allclose(out.values, spikes @ weights, rtol=0, atol=2e-3 if adc is None else 0)
        assert out.clipped == 0
    assert np.array_equal(out.active_rows.sum(axis=1), spikes.sum(axis=1))
    assert out.conversions == 70 * 3 * layer.flipped.shape[1]


@pytest.mark.parametrize("density", [0.0, 0.03, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("bits", [None, 3, 6])
def test_layers_equal_those_of_the_plain_product(density, seed, bits, monkeypatch):
    _, layer = make(
        device=CELL.replace(read_noise_sigma=0.05), wires=Wires(2.0, 2.0), noise_density=0.2, complement="column"
    )
    spikes = np.random.default_rng(2).random((300, 150)) < density
    adc = None if bits is None else Adc(bits, 2 * layer.unit_a, offset_a=0.1 * layer.unit_a)
    fast = layer.read(spikes, adc, seed=seed)
    monkeypatch.setattr(programmed, "pack_spikes", lambda cut: cut)
    monkeypatch.setattr(programmed, "pack_matrices", lambda *matrices: matrices)

    def multiply(cut, matrices, gain, limits, seed):
        single = [None if matrix is None else matrix.astype(np.float32) for matrix in matrices]
        sums, clipped = plainly.mvm(cut, *single, seed, limits, gain)
        return sums, None, clipped

    monkeypatch.setattr(programmed, "multiply", multiply)
    plain = layer.read(spikes, adc, seed=seed)
    # Single precision may tip a code that lies within 1e-5 of a rounding edge; noise-free ones never differ here.
    differ = np.abs(fast.values - plain.values) > 0.05
    assert differ.mean() <= (0.0 if seed is None else 2e-3)
    assert abs(fast.clipped - plain.clipped) <= 3


def test_noise_is_the_same_on_any_number_of_threads_and_in_any_batch():
    _, layer = make(device=CELL.replace(read_noise_sigma=0.05), noise_density=0.2)
    spikes = np.random.default_rng(3).random((700, 150)) < 0.1
    reference = layer.read(spikes, seed=5).values
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert np.array_equal(layer.read(spikes, seed=5).values, reference)
    finally:
        numba.set_num_threads(before)
    assert not np.array_equal(layer.read(spikes, seed=6).values, reference)


def test_noise_has_the_variance_it_was_programmed_with():
    weights, layer = make(
        device=CELL.replace(read_noise_sigma=0.1), noise_density=0.2, sign="popcount", features=64, cell_bits=4
    )
    spikes = np.repeat(np.random.default_rng(4).random((1, 64)) < 0.3, 6000, axis=0)
    out = layer.read(spikes, seed=1).values
    scale = layer.read_voltage_v / layer.unit_a
    expected = np.sqrt(spikes[0] @ layer.variance_s2[0]) * scale
    assert np.abs(out.std(axis=0) / expected - 1).max() < 0.05
    assert np.allclose(out.mean(axis=0), spikes[0] @ weights, rtol=0, atol=5 * expected.max() / 6000**0.5)


def test_bit_serial_inputs_are_shifted_and_added():
    weights, layer = make()
    inputs = np.random.default_rng(5).integers(0, 8, (20, 150))
    out = layer.read(inputs, Adc(8, layer.unit_a), dac=Dac(3))
    assert np.array_equal(out.values, inputs @ weights)
    assert out.conversions == 3 * 20 * 3 * layer.flipped.shape[1]


def test_a_coarse_converter_clips_and_says_so():
    weights, layer = make()
    spikes = np.ones((4, 150), dtype=bool)
    out = layer.read(spikes, Adc(3, layer.unit_a))
    assert out.clipped > 0
    assert not np.array_equal(out.values, spikes @ weights)
    calibrated = layer.calibrate(spikes, 3)
    assert layer.read(spikes, calibrated).clipped == 0


def test_convolution_on_crossbars_is_the_convolution():
    rng = np.random.default_rng(6)
    maps, weights = rng.random((2, 20, 6, 6)) < 0.3, rng.integers(-8, 8, (5, 20, 3, 3))
    fields = patches(maps, (3, 3), padding=1)
    flat = weights.reshape(5, -1).T
    for layout in ("kernel_position", "im2col"):
        layer = program_layer(
            flat, CELL, **(SHAPE | {"rows": 16}), baseline="column", blocks=conv_blocks(20, (3, 3), 16, layout)
        )
        out = layer.read(fields.reshape(-1, 180), Adc(7, layer.unit_a))
        assert np.array_equal(out.values, fields.reshape(-1, 180).astype(int) @ flat)


def test_high_off_current_shows_without_a_baseline():
    _, with_column = make()
    weights, without = make(baseline="none")
    spikes = np.ones((1, 150), dtype=bool)
    leak = 150 * CELL.offset_s(2) / CELL.lsb_s(2)
    assert np.abs(with_column.read(spikes).values - spikes @ weights).max() < 0.01
    assert np.abs(without.read(spikes).values - spikes @ weights).max() > 0.5 * leak


def test_power_is_that_of_the_programmed_arrays():
    _, layer = make(wires=Wires(3.0, 3.0))
    spikes = np.random.default_rng(7).random((5, 150)) < 0.4
    ideal = (layer.blocks.cut_inputs(spikes)[:, :, None, :, None] * layer.conductance_s).sum(axis=(1, 2, 3, 4))
    power = layer.power_w(spikes)
    assert (power < 0.25 * ideal).all()
    assert (power > 0.5 * 0.25 * ideal).all()
    _, lossless = make()
    assert lossless.power_w(spikes) == pytest.approx(0.25 * ideal, rel=1e-12)


def test_programming_variation_moves_the_outputs():
    cell = Device.preset("hfo2_generic")
    _, exact = make(device=cell)
    weights, varied = make(device=cell, rng=np.random.default_rng(0))
    spikes = np.random.default_rng(8).random((50, 150)) < 0.3
    assert np.abs(exact.read(spikes).values - spikes @ weights).max() < 0.01
    assert np.abs(varied.read(spikes).values - spikes @ weights).std() > 0.1


def test_bad_layers_are_refused():
    weights = np.zeros((4, 2), dtype=int)
    with pytest.raises(InputError, match="read voltage"):
        program_layer(weights, CELL.replace(read_voltage_v=None), **SHAPE)
    with pytest.raises(InputError, match="none, column"):
        program_layer(weights, CELL, **SHAPE, baseline="row")
    with pytest.raises(InputError, match="without read noise"):
        program_layer(weights, CELL, **SHAPE).read(np.zeros((1, 4)), seed=1)
    with pytest.raises(InputError, match="blocks of 32 rows"):
        program_layer(weights, CELL, **SHAPE, blocks=conv_blocks(1, (2, 2), 32))


def test_study_of_an_ideal_array_shows_no_error_and_a_lossy_one_does():
    cell = CELL.replace(read_noise_sigma=0.01)
    sizes = {"rows": 24, "cols": 16, "cell_bits": 2, "reads": 200}
    ideal = study_array(CELL, Wires(0.0, 0.0), rng=np.random.default_rng(0), **sizes)
    assert np.abs(ideal.wire_error).max() < 1e-9
    assert not ideal.noise_error.any()
    assert np.allclose(ideal.ir_drop, 0, atol=1e-12)
    lossy = study_array(cell, Wires(5.0, 5.0), rng=np.random.default_rng(0), **sizes)
    assert lossy.wire_error.mean() < 0
    assert lossy.loss.mean() > 0.01
    # The far corner (last column, first row) is furthest from driver and sense.
    assert lossy.ir_drop[0, -1] > 2 * lossy.ir_drop[-1, 0]
    assert lossy.noise_error.std() > 0
    assert [row["kind"] for row in lossy.rows()] == ["programming", "wires", "read noise", "together"]


def test_loss_grows_with_size_and_resistance():
    table = loss_table(CELL, sizes=[8, 16, 32], segment_ohms=[0.0, 1.0, 5.0], cell_bits=2, rng=np.random.default_rng(0))
    assert np.allclose(table[:, 0], 0.0, atol=1e-12)
    assert (np.diff(table, axis=0)[:, 1:] > 0).all()
    assert (np.diff(table, axis=1) > 0).all()
