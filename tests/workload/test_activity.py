"""Counts per timestep and image: by brute force, from a trace, from statistics, as expectations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.workload import SpikeTrace, schema
from accelsim.workload.activity import SET_BITS_SHARE, from_density, from_stats, from_trace, held, quantized, to_stats
from accelsim.workload.graph import ActivationType
from accelsim.workload.trace import Record, encode

CONV = [
    {"name": "conv1", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
    {"name": "lif1", "op": "neuron"},
    {"name": "conv2", "op": "conv2d", "out_channels": 6, "kernel": 3, "stride": 2},
    {"name": "lif2", "op": "neuron"},
    {"op": "flatten"},
    {"name": "fc", "op": "linear", "out_features": 5},
]
SHAPES = {"conv1": (2, 6, 6), "conv2": (4, 6, 6), "fc": (24,)}


def spikes(seed: int = 0, steps: int = 3, images: int = 2, density: float = 0.3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random((steps, images, *shape)) < density for name, shape in SHAPES.items()}


def same(left, right) -> bool:
    fields = ("ones", "nonzero", "accumulations", "effective_macs")
    return left.keys() == right.keys() and all(
        np.array_equal(getattr(left[name], field), getattr(right[name], field)) for name in left for field in fields
    )


def test_counts_of_a_trace(graph_of):
    graph = graph_of(CONV, [2, 6, 6])
    arrays = spikes()
    activity = from_trace(graph, SpikeTrace.from_arrays(arrays), 3, "t.npz")
    fc = activity["fc"]
    counted = arrays["fc"].sum(axis=2)
    assert (fc.ones == counted).all()
    assert (fc.accumulations == 5 * counted).all()
    assert (fc.effective_macs == 5 * counted).all()
    assert fc.density == pytest.approx(counted.mean(axis=1) / 24)
    assert (fc.timesteps, fc.images) == (3, 2)
    # conv2 reads 6x6 maps with a 3x3 window and stride 2: rows 0..4 are read once, row 2 twice, row 5 never
    reads = np.array([1, 1, 2, 1, 1, 0])
    by_hand = (arrays["conv2"] * (reads[:, None] * reads[None, :] * 6)).sum(axis=(2, 3, 4))
    assert (activity["conv2"].accumulations == by_hand).all()
    assert same({"fc": fc.image(1)}, {"fc": from_trace(
        graph, SpikeTrace.from_arrays({name: array[:, 1:] for name, array in arrays.items()}), 3, "t.npz")["fc"]}
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.floats(0, 1))
def test_statistics_say_the_same_as_the_trace(graph_of, seed, images, density):
    graph = graph_of(CONV, [2, 6, 6])
    activity = from_trace(graph, SpikeTrace.from_arrays(spikes(seed, 3, images, density)), 3, "t.npz")
    assert same(from_stats(graph, to_stats(activity), 3, "s.npz"), activity)
    assert same(
        from_stats(graph, to_stats(activity), 2, "s.npz"),
        from_trace(graph, SpikeTrace.from_arrays(spikes(seed, 3, images, density)), 2, "t.npz"),
    )


def test_silence_costs_nothing_and_equal_timesteps_cost_the_same(graph_of):
    graph = graph_of(CONV, [2, 6, 6])
    silent = from_trace(graph, SpikeTrace.from_arrays({n: a & False for n, a in spikes().items()}), 3, "t")
    assert all(op.accumulations.sum() == 0 and op.ones.sum() == 0 for op in silent.values())
    repeated = {name: np.repeat(array[:1], 3, axis=0) for name, array in spikes().items()}
    activity = from_trace(graph, SpikeTrace.from_arrays(repeated), 3, "t")
    for op in activity.values():
        assert (op.accumulations == op.accumulations[0]).all()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda a: a.pop("conv2"), "no input of 'conv2'.*did you mean 'conv1'"),
        (lambda a: a.update(fc=a["fc"][..., :20]), r"does not fit the layer: its shape is \[20\], the layer's \[24\]"),
        (lambda a: a.update(fc=a["fc"][:, :1]), "1 images, but 2"),
        (lambda a: a.update(fc=a["fc"][:2]), "has 2 timesteps, the workload 3"),
        (lambda a: a.update(fc=a["fc"] + a["fc"][::-1]), "2 bit-planes, but the layer's input .binary"),
        (lambda a: a.update(fc=a["fc"] * -1), "negative values"),
        (lambda a: a.update(fc=np.random.default_rng(0).random(a["fc"].shape)), "real values, but .* binary spikes"),
    ],
)
def test_a_trace_that_does_not_fit_is_refused(graph_of, change, complaint):
    arrays: dict[str, np.ndarray] = {name: array.astype(np.int8) for name, array in spikes().items()}
    change(arrays)
    with pytest.raises(InputError, match=complaint) as caught:
        from_trace(graph_of(CONV, [2, 6, 6]), SpikeTrace.from_arrays(arrays), 3, "some/trace.npz")
    assert str(caught.value).startswith("some/trace.npz: ")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s.pop("fc.ones"), "'fc.ones' is missing"),
        (lambda s: s.update({"fc.ones": s["fc.ones"][:2]}), "3 timesteps, images"),
        (lambda s: s.update({"fc.ones": -s["fc.ones"] - 1}), "non-negative"),
        (lambda s: s.update({"fc.ones": s["fc.ones"] + 1000}), "more set bits"),
        (lambda s: s.update({"fc.ones": s["fc.ones"] * np.nan}), "non-negative"),
        (lambda s: s.update({"fc.ones": s["fc.ones"].astype(str)}), "found <U"),
        (lambda s: s.update({"fc.ones": s["fc.ones"][:, :0]}), "shape .3, 0."),
        (lambda s: s.update({"fc.ones": s["fc.ones"][:, :1]}), "1 images, but 2"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(graph_of, change, complaint):
    graph = graph_of(CONV, [2, 6, 6])
    arrays = to_stats(from_trace(graph, SpikeTrace.from_arrays(spikes()), 3, "t.npz"))
    change(arrays)
    with pytest.raises(InputError, match=complaint):
        from_stats(graph, arrays, 3, "stats.npz")


# --- analog inputs ------------------------------------------------------------------------------------


def test_pixels_are_counted_as_the_bits_of_their_codes(graph_of):
    graph = graph_of([{"name": "fc", "op": "linear", "out_features": 3}], [4], "direct")
    values = np.array([[[0.0, 1.0, 0.5, 3 / 255]]], dtype=np.float32)  # codes 0, 255, 128 (127.5 to even), 3
    record = Record("real", (4,), 1.0, values=values)
    op = from_trace(graph, SpikeTrace({"fc": record}), 2, "t.npz")["fc"]
    assert op.ones.tolist() == [[8 + 1 + 2]] * 2  # static: the same at both timesteps
    assert op.nonzero.tolist() == [[3]] * 2
    assert op.accumulations.tolist() == [[33]] * 2
    assert op.effective_macs.tolist() == [[9]] * 2


def test_a_sample_of_few_grey_levels_is_counted_like_any_other(graph_of):
    """Black and white images look like spikes; the machine holds them in 8 bits all the same."""
    graph = graph_of([{"name": "fc", "op": "linear", "out_features": 3}], [4], "analog")
    looks_binary = encode(np.array([[[0, 1, 1, 0]], [[1, 0, 0, 0]]]))
    assert looks_binary.kind == "binary"
    op = from_trace(graph, SpikeTrace({"fc": looks_binary}), 2, "t.npz")["fc"]
    assert op.ones.tolist() == [[16], [8]]
    assert op.effective_macs.tolist() == [[6], [3]]


@given(st.integers(1, 32), st.integers(0, 2**32 - 1), st.booleans())
def test_codes_of_analog_values_keep_the_largest(bits, seed, signed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((1, 2, 9)).astype(np.float32)
    values = values if signed else np.abs(values)
    record = quantized(Record("real", (9,), 1.0, values=values), bits)
    planes = np.unpackbits(record.bits, axis=-1, count=9, bitorder="little").astype(np.int64)
    codes = sum(planes[bit] << bit for bit in range(bits))
    levels = max(2 ** (bits - 1) - 1, 1) if (values < 0).any() else 2**bits - 1
    assert codes.max() == levels
    assert (np.abs(codes / levels * np.abs(values).max() - np.abs(values)) <= np.abs(values).max() / levels).all()


# --- products of two activations ----------------------------------------------------------------------

ATTENTION = [
    {"name": "q", "op": "linear", "out_features": 6},
    {"name": "qs", "op": "neuron"},
    {"name": "k", "op": "linear", "out_features": 6, "inputs": ["input"]},
    {"name": "ks", "op": "neuron"},
    {"name": "v", "op": "linear", "out_features": 6, "inputs": ["input"]},
    {"name": "vs", "op": "neuron"},
    {"name": "scores", "op": "matmul", "inputs": ["qs", "ks"], "heads": 2, "transpose_b": True},
    {"name": "mix", "op": "matmul", "inputs": ["scores", "vs"], "heads": 2},
]


def attention_arrays(seed: int, density: float = 0.4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    q, k, v = (rng.random((3, 2, 4, 6)) < density for _ in range(3))
    split = [x.reshape(3, 2, 4, 2, 3).swapaxes(2, 3).astype(int) for x in (q, k)]
    scores = split[0] @ split[1].swapaxes(-1, -2)
    x = rng.random((3, 2, 4, 5)) < density
    return {"q": x, "k": x, "v": x, "scores": q, "scores.rhs": k, "mix": scores, "mix.rhs": v}


def popcount(values: np.ndarray) -> np.ndarray:
    return np.bitwise_count(values.astype(np.int64)).astype(np.int64)


@given(st.integers(0, 2**32 - 1))
def test_matmul_counts_by_brute_force(graph_of, seed):
    """Every pair of a set bit of a and a set bit of b that meet in an output, one by one."""
    graph = graph_of(ATTENTION, [4, 5])
    arrays = attention_arrays(seed)
    records = {name: encode(a, max_value=3, step=1.0) if name == "mix" else encode(a) for name, a in arrays.items()}
    activity = from_trace(graph, SpikeTrace(records), 3, "t.npz")
    for name, transpose in (("scores", True), ("mix", False)):
        a, b = arrays[name].astype(int), arrays[f"{name}.rhs"].astype(int)
        for count, found in ((popcount, activity[name].accumulations), (np.sign, activity[name].effective_macs)):
            expected = np.zeros((3, 2))
            for step, image, head in np.ndindex(3, 2, 2):
                columns = slice(3 * head, 3 * head + 3)
                left = a[step, image, head] if name == "mix" else a[step, image][:, columns]
                right = b[step, image][:, columns].T if transpose else b[step, image][:, columns]
                for row, inner, column in np.ndindex(left.shape[0], left.shape[1], right.shape[1]):
                    pair = count(left[row, inner : inner + 1]) * count(right[inner, column : column + 1])
                    expected[step, image] += pair[0]
            assert (found == expected).all(), name


def test_a_static_real_operand_is_coded_and_held(graph_of):
    layers = [
        {"name": "a", "op": "linear", "out_features": 2},
        {"name": "as", "op": "neuron"},
        {"name": "mul", "op": "matmul", "inputs": ["as", "input"]},
    ]
    graph = graph_of(layers, [2, 2], "direct", precision={"activation_bits": 2})
    pixels = Record("real", (2, 2), 1.0, values=np.array([[[[1.0, 0.0], [1 / 3, 2 / 3]]]], np.float32))
    spiked = encode(np.array([[[[1, 0], [0, 1]]], [[[1, 1], [0, 0]]]]))
    trace = SpikeTrace({"a": pixels, "mul": spiked, "mul.rhs": pixels})
    op = from_trace(graph, trace, 2, "t.npz")["mul"]
    # codes [[3, 0], [1, 2]]: set bits per row 2 and 2; columns of a hold (1, 1) and (1, 1) spikes
    assert op.accumulations.tolist() == [[4], [4]]
    assert op.effective_macs.tolist() == [[3], [3]]
    assert op.ones.tolist() == [[2], [2]]


def test_two_static_operands_are_held_for_all_timesteps(graph_of):
    graph = graph_of([{"name": "square", "op": "matmul", "inputs": ["input", "input"]}], [2, 2], "direct")
    pixels = Record("real", (2, 2), 1.0, values=np.array([[[[1.0, 0.0], [0.0, 1.0]]]], np.float32))
    op = from_trace(graph, SpikeTrace({"square": pixels, "square.rhs": pixels}), 3, "t.npz")["square"]
    assert op.effective_macs.tolist() == [[2]] * 3
    assert op.accumulations.tolist() == [[2 * 8 * 8]] * 3


# --- expectations -------------------------------------------------------------------------------------


def density_of(graph, density, timesteps=2):
    return from_density(graph, schema.ActivitySpec(density=density), timesteps)


@given(st.floats(0, 1))
def test_a_density_gives_the_expected_counts(graph_of, density):
    graph = graph_of(CONV, [2, 6, 6])
    activity, notes = density_of(graph, density)
    assert not notes
    fc = activity["fc"]
    assert fc.ones == pytest.approx(np.full((2, 1), 24 * density))
    assert fc.accumulations == pytest.approx(np.full((2, 1), 120 * density))
    assert fc.density == pytest.approx([density] * 2)


def test_expectations_agree_with_many_random_spikes(graph_of):
    """The law of large numbers: 400 images of random spikes, mean within five standard errors."""
    densities = {"q": 0.5, "k": 0.5, "v": 0.5, "scores": 0.3, "scores.rhs": 0.6, "mix": 0.2, "mix.rhs": 0.4}
    graph = graph_of(ATTENTION, [4, 5])
    rng = np.random.default_rng(3)
    shapes = {"q": (4, 5), "k": (4, 5), "v": (4, 5), "scores": (4, 6), "scores.rhs": (4, 6), "mix.rhs": (4, 6)}
    records = {n: encode(rng.random((1, 400, *shape)) < densities[n]) for n, shape in shapes.items()}
    low, high = (rng.random((1, 400, 2, 4, 4)) < densities["mix"] for _ in range(2))  # two independent bit-planes
    records["mix"] = encode(low + 2 * high, max_value=3, step=1.0)
    measured = from_trace(graph, SpikeTrace(records), 1, "t.npz")
    expected, _ = density_of(graph, densities, timesteps=1)
    for name, op in measured.items():
        for field in ("ones", "nonzero", "accumulations", "effective_macs"):
            sample = getattr(op, field)[0]
            error = sample.std() / 20
            assert abs(sample.mean() - getattr(expected[name], field)[0, 0]) < 5 * error, (name, field)


def test_an_image_is_dense_and_half_of_its_bits_are_set(graph_of):
    graph = graph_of(CONV, [2, 6, 6], "direct")
    activity, _ = density_of(graph, 0.1)
    assert activity["conv1"].nonzero.tolist() == [[72.0]] * 2
    assert activity["conv1"].ones.tolist() == [[72 * 8 * SET_BITS_SHARE]] * 2
    named, _ = density_of(graph, {"conv1": 0.25, "default": 0.1})
    assert named["conv1"].nonzero.tolist() == [[18.0]] * 2


def test_densities_per_timestep_and_too_few_of_them(graph_of):
    graph = graph_of(CONV, [2, 6, 6])
    activity, notes = density_of(graph, {"fc": [0.1, 0.3], "default": 0.5}, timesteps=4)
    assert activity["fc"].density == pytest.approx([0.1, 0.3, 0.2, 0.2])
    assert notes == ["activity.density of 'fc' has 2 timesteps, the workload 4: the others take their mean, 0.2000"]
    assert density_of(graph, [0.1, 0.3, 0.9], timesteps=2)[0]["fc"].density == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize("steps", [1, 3])
def test_a_frame_and_then_spikes_are_held_however_few_timesteps_there_are(steps: int) -> None:
    rng = np.random.default_rng(0)
    frame, later = rng.random((1, 2, 1, 3, 3)), (rng.random((steps - 1, 2, 1, 3, 3)) < 0.5).astype(float)
    found = held(encode(np.concatenate([frame, later])), ActivationType("real", 255, 8, spikes_later=True)).dense()
    assert np.array_equal(found[0], np.rint(frame[0] * 255 / frame.max()))
    assert np.array_equal(found[1:], later)
