"""Random networks on random designs, case by case: `case(number)` is the same everywhere and for ever.

Only whole numbers are drawn, and only by `Generator.integers`, whose stream does not depend on the version of numpy.
What is drawn are documents (workload and hardware files) and arrays of spikes and weights, so that nothing here knows
how the package is arranged inside; shapes are inferred anew for the same reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import yaml

import accelsim

CASES = 600
HWCONFIGS = Path(__file__).parents[2] / "hwconfigs"

T = TypeVar("T")
Document = dict[str, Any]
Array = npt.NDArray[Any]
Shape = tuple[int, ...]

MACHINES: tuple[tuple[str, Document], ...] = (
    ("sata", {}),
    ("sata_os", {}),
    ("sata_ws", {}),
    ("spikeflow", {}),
    ("sata_ws", {"dataflow": "is"}),
    ("prosperity", {}),
    ("sata", {}),
    ("sata_os", {}),
    ("spikeflow", {}),
    ("ptb", {}),
    ("isaac_like", {}),
    ("sata_ws", {}),
    ("eyeriss", {}),
    ("sata", {}),
    ("spikeflow", {}),
    ("sata_os", {}),
    ("mint", {}),
    ("spikeflow_sram", {}),
    ("sato", {}),
    ("sata_ws", {"dataflow": "is"}),
    ("spikeflow", {}),
    ("spinalflow", {}),
    ("ann_systolic", {}),
    ("prosperity", {}),
)
"""Cases take these in turn: a bundled machine, and what is changed in any case."""


class Dice:
    """Whole numbers and choices from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def whole(self, least: int, most: int) -> int:
        """Both ends included."""
        return int(self.rng.integers(least, most + 1))

    def chance(self, percent: int) -> bool:
        return self.whole(0, 99) < percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.whole(0, len(options) - 1)]


@dataclass(frozen=True)
class Case:
    """One run: two documents, arrays where spikes or weights are known, and how it is run."""

    number: int
    label: tuple[str, str, str]
    """Machine, fidelity and dataflow."""
    workload: Document
    """A workload file's content; without `activity` where there is a trace."""
    hardware: Document
    fidelity: str
    options: Document
    """Further arguments of `accelsim.run`."""
    form: str
    """ "density", "trace" (workload file and trace beside it), or "spikes" and "stats" (bundles of either level)."""
    on_disk: bool
    """For bundles: saved and loaded again, or run from memory."""
    spikes: dict[str, Array] = field(default_factory=dict)
    """[timesteps, images, *features] by operation."""
    weights: dict[str, Array] = field(default_factory=dict)

    def run(self, folder: Path) -> accelsim.Result:
        """Run it; `folder` is an empty directory for its files.

        Raises:
            accelsim.InputError: the program refuses it.
        """
        (folder / "hw.yaml").write_text(json.dumps(self.hardware))  # JSON is YAML
        hardware = accelsim.load_hardware(folder / "hw.yaml")
        return accelsim.run(self._load(folder), hardware, fidelity=self.fidelity, **self.options)

    def _load(self, folder: Path) -> accelsim.Workload | accelsim.Bundle:
        if self.form in ("spikes", "stats"):
            bundle = accelsim.Bundle.of(
                self.workload, weights=self.weights, trace=accelsim.SpikeTrace.from_arrays(self.spikes), samples={},
                level=self.form,
            )  # fmt: skip
            return accelsim.load_workload(bundle.save(folder / "net").path) if self.on_disk else bundle
        document = self.workload
        if self.form == "trace":
            accelsim.SpikeTrace.from_arrays(self.spikes).save(folder / "trace.npz")
            document = {**document, "activity": {"trace": "trace.npz"}}
        (folder / "net.yaml").write_text(json.dumps(document))
        return accelsim.load_workload(folder / "net.yaml")


def case(number: int) -> Case:
    """The case of this number."""
    dice = Dice(number)
    base, changes = MACHINES[number % len(MACHINES)]
    large = dice.chance(12)
    hardware = _machine(dice, base, changes, large)
    net = _Net(dice, large)
    net.draw()
    form = dice.pick(("density", "density", "density", "trace", "trace", "spikes", "stats"))
    options: Document = {}
    if dice.chance(8):
        options["as_ann"] = True
        options["ann_density"] = dice.whole(0, 20) / 20
    elif form in ("trace", "spikes") and dice.chance(25):
        options["per_image"] = True
    if dice.chance(20):
        options["accumulations"] = dice.pick(("rate", "exact"))
        options["first_layer"] = dice.pick(("once", "every_timestep"))
    workload = net.document()
    spikes = {} if form == "density" else net.spikes()
    weights = net.weights() if form in ("spikes", "stats") else {}
    if form == "density":
        workload["activity"] = {"density": net.densities()}
    fidelity = ("analytical", "cycle")[number // len(MACHINES) % 2]
    label = (base, fidelity, hardware.get("dataflow", "crossbars"))
    drawn = Case(number, label, workload, hardware, fidelity, options, form, dice.chance(50), spikes, weights)
    if dice.chance(5):
        _spoil(dice, drawn)
    return drawn


# --- networks -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Values:
    """What a feature map holds: "real", "hybrid", "uint" (spikes, the binary ones among them) or "ternary"."""

    shape: Shape
    kind: str
    most: int = 1
    parts: int = 1
    static: bool = False

    @property
    def spiking(self) -> bool:
        return self.kind in ("uint", "ternary")


MOST_MACS = 300_000
"""Of one layer in one timestep: cases stay small."""


class _Net:
    """A network that grows layer by layer; what it needs to know of shapes and kinds of values it keeps itself."""

    def __init__(self, dice: Dice, large: bool) -> None:
        self.dice = dice
        self.large = large
        """One layer that small buffers hold neither operand of."""
        self.timesteps = dice.pick((1, 2, 2, 3, 3, 4, 4, 5, 6, 9, 12))
        self.layers: list[Document] = []
        self.maps: dict[str, _Values] = {}
        self.inputs: dict[str, list[str]] = {}
        """Of weighted operations."""
        self.arrays: dict[str, Shape] = {}
        """Shapes of weights and biases, gains and offsets."""
        self.neurons: list[str] = []
        self.last = "input"

    def draw(self) -> None:
        """Input, precision, neurons, and one to about six weighted layers."""
        dice = self.dice
        self.precision = {
            "weight_bits": dice.pick((8, 8, 8, 4, 4, 2, 1, 3, 6, 12, 16)),
            "membrane_bits": dice.pick((8, 8, 16, 4, 6, 12)),
            "activation_bits": dice.pick((8, 8, 4, 1, 2, 6, 10)),
        }
        self.neuron = self._neuron_fields()
        self.encoding = dice.pick(("direct", "direct", "direct", "rate", "rate", "analog", "ttfs", "hybrid", "events"))
        sort = dice.pick(("maps", "maps", "maps", "maps", "maps", "tokens", "features"))
        if self.large:
            sort, self.encoding = "maps", dice.pick(("direct", "analog", "events"))
            self.precision |= {"weight_bits": 8, "activation_bits": 8}
        if sort == "maps":
            shape: Shape = (dice.whole(1, 6), dice.whole(4, 9), dice.whole(4, 9))
            if self.large:
                shape = (dice.whole(6, 16), dice.whole(10, 16), dice.whole(10, 16))
        elif sort == "tokens":
            shape = (dice.whole(2, 9), 2 * dice.whole(1, 12))
        else:
            shape = (dice.pick((dice.whole(1, 30), dice.whole(31, 260))),)
        kind = {"direct": "real", "analog": "real", "hybrid": "hybrid", "events": "ternary"}.get(self.encoding, "uint")
        self.maps["input"] = _Values(shape, kind, static=self.encoding == "direct")
        if self.large:
            self._conv(outputs=dice.whole(16, 40))
        for _ in range(0 if self.large else dice.whole(1, 3)):
            self._grow()
            if len(self.inputs) >= 5:
                break
        if len(self.maps[self.last].shape) == 3:
            self._leave_maps()
        if not self.inputs or dice.chance(60):
            self._linear(dice.pick((dice.whole(1, 12), dice.whole(13, 80))), spiking=dice.chance(50))

    def document(self) -> Document:
        """The workload file's content without activity."""
        return {
            "format": "accelsim.workload/1",
            "name": "random",
            "timesteps": self.timesteps,
            "input": {"shape": list(self.maps["input"].shape), "encoding": self.encoding},
            "precision": self.precision,
            "neuron": self.neuron,
            "layers": self.layers,
        }

    # --- growing ---

    def _grow(self) -> None:
        axes = len(self.maps[self.last].shape)
        if axes == 3:
            self.dice.pick((self._conv, self._conv, self._conv_pool, self._residual, self._residual, self._detour))()
        elif axes == 2:
            self.dice.pick((self._linear, self._attention, self._attention, self._detour))()
        else:
            self.dice.pick((self._linear, self._linear, self._recurrent, self._detour))()

    def _add(self, op: str, values: _Values, inputs: Sequence[str] | None = None, **fields: Any) -> str:
        name = f"{op.removesuffix('2d')}{1 + sum(layer['op'] == op for layer in self.layers)}"
        layer: Document = {"op": op, "name": name}
        previous = self.layers[-1]["name"] if self.layers else "input"
        if inputs is not None and (list(inputs) != [previous] or self.dice.chance(20)):
            layer["inputs"] = list(inputs)
        if self.dice.chance(10):
            layer["out_shape"] = list(values.shape)
        self.layers.append({**layer, **fields})
        self.maps[name] = values
        self.last = name
        return name

    def _weighted(self, op: str, values: _Values, inputs: Sequence[str], outputs: int, k: Shape, **fields: Any) -> str:
        fields["bias"] = self.dice.chance(70)
        name = self._add(op, values, inputs, **fields)
        self.inputs[name] = list(inputs)
        self.arrays[f"{name}.weight"] = (outputs, *k)
        if fields["bias"]:
            self.arrays[f"{name}.bias"] = (outputs,)
        return name

    def _current(self, shape: Shape, *inputs: str) -> _Values:
        return _Values(shape, "real", static=all(self.maps[name].static for name in inputs))

    def _conv(self, same: bool = False, spiking: bool | None = None, outputs: int | None = None) -> str:
        dice, source = self.dice, self.last
        channels, *size = self.maps[source].shape
        kernel = dice.pick((1, 3, 3, 3, 2, 5, (1, 3), (3, 2), (2, 1)))
        stride: int | Shape = dice.pick((1, 1, 1, 2, 2, 3, (2, 1), (1, 3)))
        padding: int | Shape = dice.pick((0, 1, 1, 1, 2, (1, 0), (0, 2)))
        dilation: int | Shape = dice.pick((1, 1, 1, 1, 2, (1, 2)))
        if same:
            kernel, stride = dice.pick((1, 3)), 1
            dilation = dice.pick((1, 1, 2)) if kernel == 3 else 1
            padding = dilation * (kernel // 2)
        out = _window(size, kernel, stride, padding, dilation)
        if min(out) < 1:
            kernel, stride, padding, dilation, out = 1, 1, 0, 1, list(size)
        groups = dice.pick((1, 1, 1, 1, channels, dice.pick(_divisors(channels))))
        if outputs is not None:
            groups = 1
        elif same:
            outputs, groups = channels, dice.pick((1, 1, channels))
        elif groups > 1:
            outputs = groups * dice.whole(1, 2)
        else:
            outputs = dice.pick((dice.whole(1, 10), dice.whole(1, 40)))
            while outputs > 1 and math.prod(out) * channels * math.prod(_pair(kernel)) * outputs > MOST_MACS:
                outputs //= 2
        k = (channels // groups, *_pair(kernel))
        fields = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        said = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
            if value != usual.get(name)
        }
        values = self._current((outputs, *out), source)
        self._weighted("conv2d", values, [source], outputs, k, out_channels=outputs, **said)
        return self._fire(spiking)

    def _fire(self, spiking: bool | None = None) -> str:
        """What stands behind a weighted operation: gains over time, neurons, or neither."""
        dice = self.dice
        if dice.chance(10):
            values = self.maps[self.last]
            channels = values.shape[1 if len(values.shape) == 2 else 0]
            name = self._add("time_affine", _Values(values.shape, "real"))
            for part in ("gain", "offset"):
                self.arrays[f"{name}.{part}"] = (self.timesteps, channels)
        if dice.chance(90) if spiking is None else spiking:
            return self._neuron()
        return self.last

    def _neuron(self) -> str:
        dice, values = self.dice, self.maps[self.last]
        own = self._neuron_fields() if dice.chance(35) else {}
        record = {**self.neuron, **own}
        alone = record.get("fire_once") or record.get("accumulate_then_fire")
        channels = values.shape[1 if len(values.shape) == 2 else 0]
        if not alone and dice.chance(12):
            own["channel_sharing"] = dice.pick(_divisors(channels))
        if self.neurons and dice.chance(8):
            own["shares_state_with"] = dice.pick(self.neurons)
        name = self._add("neuron", _Values(values.shape, "uint", record.get("max_spikes", 1)), **own)
        self.neurons.append(name)
        return name

    def _neuron_fields(self) -> Document:
        dice = self.dice
        fields: dict[str, Callable[[], Any]] = {
            "model": lambda: dice.pick(("if", "lif")),
            "leak": lambda: dice.pick((0.5, 0.75, 0.3, 0.875, 0.0, 1.0)),
            "input_gain": lambda: dice.pick((0.5, 1.0, 2.0)),
            "threshold": lambda: dice.pick((0.5, 1.0, 1.5)),
            "reset": lambda: dice.pick(("hard", "soft", "soft", "none")),
            "reset_order": lambda: dice.pick(("same_step", "next_step")),
            "compare": lambda: dice.pick((">=", ">")),
            "initial_membrane": lambda: dice.pick((0.0, 0.5)),
        }
        drawn = {name: make() for name, make in fields.items() if dice.chance(35)}
        if dice.chance(15):
            drawn["max_spikes"] = dice.pick((2, 3, 4, 7))
        if dice.chance(8):
            drawn[dice.pick(("fire_once", "accumulate_then_fire"))] = True
        return drawn

    def _pool(self) -> str:
        dice, values = self.dice, self.maps[self.last]
        channels, *size = values.shape
        kernel: int | Shape = dice.pick((2, 2, 3, (1, 2), (2, 1)))
        least = min(_pair(kernel))
        padding = dice.whole(0, least // 2)
        stride: int | Shape | None = dice.pick((None, None, 1, 2, 3, (2, 1)))
        ceil_mode = dice.chance(30)
        out = _window(size, kernel, stride or kernel, padding, 1, ceil_mode)
        if min(out) < 1:
            return self.last
        fields: Document = {"kernel": list(kernel) if isinstance(kernel, tuple) else kernel}
        fields |= {} if stride is None else {"stride": list(stride) if isinstance(stride, tuple) else stride}
        fields |= {"padding": padding} if padding else {}
        fields |= {"ceil_mode": True} if ceil_mode else {}
        op = dice.pick(("maxpool2d", "avgpool2d"))
        window = math.prod(_pair(kernel)) if op == "avgpool2d" and values.spiking else 1
        kind = "real" if values.kind == "hybrid" and op == "avgpool2d" else values.kind
        pooled = _Values((channels, *out), kind, values.most * window, values.parts * window, values.static)
        return self._add(op, pooled, **fields)

    def _conv_pool(self) -> str:
        if self.dice.chance(15):
            self._pool()
        if self.dice.chance(25):  # currents are pooled, then fire
            self._conv(spiking=False)
            self._pool()
            return self._neuron()
        self._conv()
        return self._pool()

    def _sum(self, *inputs: str) -> str:
        maps = [self.maps[name] for name in inputs]
        if not all(values.spiking for values in maps):
            return self._add("add", self._current(maps[0].shape, *inputs), inputs)
        parts = math.lcm(*(values.parts for values in maps))
        most = sum(values.most * (parts // values.parts) for values in maps)
        kind = "ternary" if any(values.kind == "ternary" for values in maps) else "uint"
        return self._add("add", _Values(maps[0].shape, kind, most, parts), inputs)

    def _residual(self) -> str:
        dice = self.dice
        before = self.last
        branches = []
        for _ in range(dice.pick((1, 1, 2))):
            self.last = before
            branches.append(self._conv(same=True, spiking=dice.chance(65)))
        self._sum(before, *branches)
        return self._neuron() if not self.maps[self.last].spiking and dice.chance(85) else self.last

    def _leave_maps(self) -> None:
        channels, height, width = self.maps[self.last].shape
        values = self.maps[self.last]
        if self.dice.chance(30):
            self._add("tokens", _Values((height * width, channels), *_rest(values)))
            if channels <= 24 and height * width <= 40 and len(self.inputs) < 4:
                self._attention()
        elif self.dice.chance(70):
            self._add("flatten", _Values((channels * height * width,), *_rest(values)))
        else:
            shape = (height, channels * width)
            order = {"in_order": True} if self.dice.chance(50) else {}
            self._add("view", _Values(shape, *_rest(values)), out_shape=list(shape), **order)

    def _linear(self, features: int | None = None, spiking: bool | None = None, source: str | None = None) -> str:
        dice, source = self.dice, source or self.last
        shape = self.maps[source].shape
        if features is None:
            features = dice.pick((dice.whole(1, 20), 2 * dice.whole(4, 40)))
        values = self._current((*shape[:-1], features), source)
        self._weighted("linear", values, [source], features, (shape[-1],), out_features=features)
        return self._fire(spiking)

    def _attention(self) -> str:
        dice, source = self.dice, self.last
        tokens = self.maps[source].shape[0]
        heads = dice.pick((1, 1, 2, 3))
        features = heads * dice.whole(1, 8)
        q, k, v = (self._linear(features, spiking=dice.chance(92), source=source) for _ in range(3))
        scores: Shape = (heads, tokens, tokens) if heads > 1 else (tokens, tokens)
        self._matmul([q, k], scores, features // heads, heads, transpose_b=True)
        if dice.chance(40):
            self._neuron()
        elif dice.chance(20):
            self._opaque("softmax")
        self._matmul([self.last, v], (tokens, features), tokens, heads)
        return self._neuron() if dice.chance(70) else self.last

    def _matmul(self, inputs: list[str], shape: Shape, inner: int, heads: int, **fields: Any) -> str:
        a, b = (self.maps[name] for name in inputs)
        values = self._current(shape, *inputs)
        if a.spiking and b.spiking:
            values = _Values(shape, "uint", inner * a.most * b.most, a.parts * b.parts)
        name = self._add("matmul", values, inputs, **({"heads": heads} if heads > 1 else {}), **fields)
        self.inputs[name] = inputs
        return name

    def _opaque(self, does: str, shape: Shape | None = None, inputs: list[str] | None = None) -> str:
        kind = self.dice.pick(("binary", "ternary", "uint", "real"))
        most = self.dice.pick((2, 3, 9)) if kind in ("ternary", "uint") else 1
        fields: Document = {"does": does, "activation": kind} | ({"max_value": most} if most > 1 else {})
        static = self.dice.chance(15)
        fields |= {"static": True} if static else {}
        shape = shape or self.maps[self.last].shape
        values = _Values(shape, "uint" if kind == "binary" else kind, most, 1, static)
        if inputs is not None:
            fields["inputs"] = inputs
        return self._add("opaque", values, out_shape=list(shape), **fields)

    def _detour(self) -> str:
        """What no machine charges for: something that is not modelled, or another arrangement of the same values."""
        shape = self.maps[self.last].shape
        if self.dice.chance(50):
            return self._opaque("a delay")
        turned = shape[::-1]
        return self._add("view", _Values(turned, *_rest(self.maps[self.last])), out_shape=list(turned))

    def _recurrent(self) -> str:
        """The layer's own spikes of the timestep before enter beside its input."""
        features = self.dice.whole(2, 24)
        forward = self._linear(features, spiking=False)
        self._opaque("the timestep before", (features,), [])
        back = self._linear(features, spiking=False)
        self._sum(forward, back)
        return self._neuron()

    # --- activity and weights ---

    def densities(self) -> Any:
        """`activity.density` in one of its forms."""

        def share() -> float:
            return (
                self.dice.pick((0, 1000, self.dice.whole(1, 300), self.dice.whole(1, 300), self.dice.whole(1, 999)))
                / 1e3
            )

        def values() -> float | list[float]:
            if self.dice.chance(60):
                return share()
            return [share() for _ in range(self.dice.pick((self.timesteps, self.timesteps, self.dice.whole(1, 4))))]

        if self.dice.chance(50):
            return values()
        named = {name: values() for name in self.inputs if self.dice.chance(50)}
        for name, inputs in self.inputs.items():
            if len(inputs) > 1 and self.dice.chance(50):
                named[f"{name}.rhs"] = values()
        return {"default": values(), **named}

    def spikes(self) -> dict[str, Array]:
        """[timesteps, images, *features] for each input of a weighted operation."""
        images = self.dice.pick((1, 1, 2, 3))
        drawn: dict[str, Array] = {}
        found = {}
        for op, inputs in self.inputs.items():
            for source, suffix in zip(inputs, ("", ".rhs"), strict=False):
                if source not in drawn:
                    drawn[source] = self._drawn(self.maps[source], images)
                found[op + suffix] = drawn[source]
        return found

    def _drawn(self, values: _Values, images: int) -> Array:
        rng, dice = self.dice.rng, self.dice
        shape = (1 if values.static else self.timesteps, images, *values.shape)
        share = dice.pick((0, 1000, dice.whole(1, 300), dice.whole(1, 300), dice.whole(1, 999)))
        there = rng.integers(0, 1000, shape) < share
        if dice.chance(50):  # silence: of whole timesteps, and of whole rows
            there &= (rng.integers(0, 4, shape[:1]) > 0).reshape(-1, *[1] * (len(shape) - 1))
            there &= (rng.integers(0, 3, shape[:3]) > 0).reshape(*shape[:3], *[1] * (len(shape) - 3))
        if values.kind in ("real", "hybrid"):
            sign = -1 if dice.chance(30) and values.kind == "real" else 0
            array = np.where(there, rng.integers(sign * 5000, 5000, shape), 0) / 4096
            if values.kind == "hybrid":
                array[1:] = there[1:]
        else:
            array = np.where(there, rng.integers(1, min(values.most, 255) + 1, shape), 0).astype(np.float64)
            if values.kind == "ternary":
                array *= 2 * rng.integers(0, 2, shape) - 1
        return np.broadcast_to(array, (self.timesteps, *shape[1:])).astype(np.float32)

    def weights(self) -> dict[str, Array]:
        """Weights with zeros among them, biases, gains and offsets."""
        rng = self.dice.rng
        zeros = self.dice.pick((0, 0, 30, 60, 90))
        found = {}
        for name, shape in self.arrays.items():
            codes = rng.integers(-127, 128, shape)
            if name.endswith(".weight"):
                codes = np.where(rng.integers(0, 100, shape) < zeros, 0, codes)
            found[name] = (codes / 64).astype(np.float32)
        return found


def _rest(values: _Values) -> tuple[str, int, int, bool]:
    return values.kind, values.most, values.parts, values.static


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _pair(value: int | Shape) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _window(
    size: Sequence[int], kernel: int | Shape, stride: int | Shape, padding: int | Shape, dilation: int | Shape,
    ceil_mode: bool = False,
) -> list[int]:  # fmt: skip
    """Output sizes of a convolution or a pooling by PyTorch's rules."""
    found = []
    for n, k, s, p, d in zip(size, _pair(kernel), _pair(stride), _pair(padding), _pair(dilation), strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        out = (-(-room // s) if ceil_mode else room // s) + 1
        found.append(out - 1 if ceil_mode and (out - 1) * s >= n + p else out)
    return found


# --- machines -------------------------------------------------------------------------------------------

MEMORY_SIZES = (1024, 2048, 3000, 4096, 8192, 20000, 32768, 147456)
WIDTHS = (4, 8, 16, 32, 64)

SYSTOLIC: dict[str, Sequence[Any]] = {
    "clock_mhz": (100, 200, 333.3, 1000),
    "technology_nm": (28, 28, 65),
    "drain": ("overlapped", "serial"),
    "maps": ("dram", "chip"),
    "static_input": ("reuse", "recompute"),
    "pe.accumulator_bits": (8, 12, 16, 24, 32),
    "pe.psum_bits": (4, 8, 12, 16, 32),
    "lif.share": (1, 2, 3, 4, 8),
    "lif.units": (1, 2, 3, 7, 16, 100),
    "lif.membrane_sharing": (1, 2, 3, 4),
    "memories.dram.width_bytes": (4, 8, 32, 64),
    "memories.dram.bandwidth_gbps": (1.6, 12.8, 51.2, 512),
    "memories.dram.latency_ns": (0, 20, 50.5, 200),
} | {
    f"memories.{memory}.{key}": values
    for memory in ("glb_weight", "glb_ifmap", "glb_ofmap")
    for key, values in (
        ("size_bytes", MEMORY_SIZES),
        ("width_bytes", WIDTHS),
        ("banks", (1, 2)),
        ("double_buffered", (True, False)),
    )
}

SATA: dict[str, Sequence[Any]] = SYSTOLIC | {
    "array.rows": (1, 2, 3, 5, 8, 13, 16, 24),
    "array.cols": (1, 2, 3, 4, 7, 8, 16, 20),
    "sparsity.spikes": ("none", "gate", "skip", "skip"),
    "sparsity.sync": ("fold", "timestep"),
    "sparsity.weights": ("none", "gate", "skip"),
    "sparsity.weight_density": (0.1, 0.35, 0.5, 0.8, 1.0),
    "sparsity.weight_format": ("dense", "bitmap", "csr"),
    "sparsity.weight_seed": (0, 1, 7),
    "pe.multiplier_bits": (0, 0, 2, 4, 8, 16),
    "memories.spad_spike.size_bytes": (1, 4, 9, 16, 40),
    "memories.spad_weight.size_bytes": (1, 4, 9, 32),
    "memories.spad_psum.size_bytes": (1, 2, 8, 16),
}

RELATED: dict[str, dict[str, Sequence[Any]]] = {
    "ptb": {
        "array.rows": (1, 2, 3, 8, 16, 24, 32),
        "array.cols": (1, 3, 8, 16, 32),
        "ptb.window": (1, 2, 3, 4, 8, 16),
        "ptb.pairing": (True, False),
        "ptb.lif_cycles": (1, 2, 3, 5),
    },
    "sato": {"array.rows": (1, 3, 8, 32, 128), "memories.spad_weight.size_bytes": (1, 9, 64, 128, 512)},
    "mint": {"array.cols": (1, 3, 8, 32, 128), "mint.lif_cycles": (1, 2, 3, 5)},
    "eyeriss": {
        "array.rows": (1, 3, 8, 14),
        "array.cols": (1, 3, 8, 12),
        "eyeriss.published_rounding": (True, False),
        "pe.multiplier_bits": (4, 8, 16),
    },
    "prosperity": {
        "array.cols": (1, 3, 8, 32, 128),
        "prosperity.sparsity": ("product", "product", "bit", "none"),
        "prosperity.tile_rows": (1, 5, 16, 64, 256),
        "prosperity.tile_columns": (1, 3, 8, 16, 40, 64),
        "prosperity.popcounts": (1, 3, 8),
        "prosperity.lif_cycles": (1, 2, 3),
    },
    "spinalflow": {
        "array.cols": (1, 3, 8, 32, 128),
        "spinalflow.tick_cycles": (0, 1, 3),
        "spinalflow.merge_lists": (1, 2, 16),
        "spinalflow.time_bits": (4, 8, 12),
        "spinalflow.address_bits": (8, 16, 20),
    },
}

SPIKEFLOW: dict[str, Sequence[Any]] = {
    "crossbar.rows": (8, 16, 33, 64, 128),
    "crossbar.cols": (8, 16, 33, 64, 129),
    "crossbar.cell_bits": (1, 2, 3, 4),
    "crossbar.cell_height_f": (6, 12, 20),
    "crossbar.cell_width_f": (4, 8),
    "device.read_voltage_v": (0.05, 0.2, 0.5),
    "device.read_pulse_ns": (0.5, 1, 2.5),
    "adc.bits": (1, 3, 4, 5, 6, 8),
    "adc.columns_per_adc": (1, 2, 4, 5, 8),
    "adc.cycles_per_conversion": (3, 4, 7),
    "adc.sample_hold": (True, False),
    "weights.signed": ("diff", "differential_pair", "offset_column"),
    "weights.sign_sum": ("column", "popcount"),
    "weights.baseline": ("none", "column"),
    "pe.crossbars": (1, 2, 4, 9, 12),
    "tile.pes": (1, 2, 5, 8, 16),
    "tile.bus_bits": (8, 64, 100, 512),
    "timing.fetch_cycles": (0, 1, 2),
    "timing.accumulate_cycles": (0, 1, 3),
    "accumulator_bits": (8, 12, 16, 24, 32),
    "pipeline": ("rows", "none"),
    "zero_skipping": ("none", "crossbar", "crossbar"),
    "static_input": ("reuse", "recompute"),
    "first_layer": ("crossbar", "digital"),
    "lif.share": (1, 2, 4, 8),
    "lif.units": (1, 3, 16, 64),
    "lif.membrane_sharing": (1, 2, 4),
    "noc.flit_bits": (17, 32, 64, 128),
    "noc.vcs": (2, 3, 4),
    "noc.buffer_flits": (1, 2, 4, 8, 16),
    "noc.packet_flits": (2, 5, 32, 64),
    "noc.header_bits": (0, 8, 16),
    "noc.torus": (True, False),
    "noc.module_ports": (1, 2, 4),
    "placement.order": ("snake", "nearest"),
    "placement.share_tiles": (True, False),
    "placement.extra_tiles": (0, 1, 3, 8),
    "digital.lanes": (1, 8, 64),
    "digital.macs": (1, 8, 64),
    "digital.activations_per_cycle": (1, 8, 64),
    "memories.tile_buffer.size_bytes": (1024, 2048, 5000, 65536),
    "memories.tile_buffer.width_bytes": (4, 8, 32),
    "memories.tile_buffer.double_buffered": (True, False),
    "memories.global_buffer.width_bytes": (4, 16, 32, 64),
    "memories.global_buffer.size_bytes": (16384, 65536),
    "memories.membrane.width_bytes": (4, 16, 32, 64),
    "memories.membrane.size_bytes": (16384, 65536),
    "memories.first_layer.width_bytes": (4, 16, 32),
    "memories.dram.width_bytes": (4, 8, 32, 64),
    "memories.dram.bandwidth_gbps": (1.6, 12.8, 51.2, 512),
}


@cache
def _bundled(name: str) -> str:
    return json.dumps(yaml.safe_load((HWCONFIGS / f"{name}.yaml").read_text()))


def _machine(dice: Dice, name: str, changes: Document, large: bool) -> Document:
    machine = {**json.loads(_bundled(name)), **changes}
    if machine["kind"] == "spikeflow":
        choices = SPIKEFLOW
    else:
        choices = SYSTOLIC | RELATED[machine["dataflow"]] if machine["dataflow"] in RELATED else SATA
    percent = dice.pick((5, 15, 30, 50))
    for key, values in choices.items():
        if dice.chance(percent):
            _set(machine, key, dice.pick(values))
    if choices is SATA and dice.chance(30):  # what rarely comes together: zeros of both operands skipped
        machine["sparsity"] |= {"spikes": dice.pick(("gate", "skip")), "weights": dice.pick(("gate", "skip", "skip"))}
    if choices is SATA and (large or dice.chance(20)):  # and buffers that hold little of either
        machine["array"] = {"rows": dice.pick((2, 3, 4, 6)), "cols": dice.pick((2, 3, 4))}
        for memory in ("glb_weight", "glb_ifmap", "glb_ofmap"):
            sizes = {"size_bytes": dice.pick((1024, 1024, 2048)), "width_bytes": dice.pick((4, 8)), "banks": 1}
            machine["memories"][memory] = {**sizes, "double_buffered": dice.chance(50)}
    _reconcile(dice, machine)
    if dice.chance(10):
        prices = {"read_bits": {"energy_pj_per_bit": dice.whole(1, 40) / 8}}
        machine["costs"]["components"] = {"dram": {"actions": prices, "leakage_mw": dice.whole(0, 8) / 4}}
    return machine


def _reconcile(dice: Dice, machine: Document) -> None:
    """Make choices fit one another that were drawn apart; what no longer fits by chance is refused, and so recorded."""
    if machine["kind"] == "systolic":
        for memory in ("glb_weight", "glb_ifmap", "glb_ofmap"):
            spec = machine["memories"][memory]
            if spec["width_bytes"] >= 32 and spec["banks"] == 2:  # the smallest there are costs for
                spec["size_bytes"] = max(spec["size_bytes"], 2048)
        sparsity = machine["sparsity"]
        zeros_matter = sparsity.get("weights", "none") != "none" or sparsity.get("weight_format", "dense") != "dense"
        if zeros_matter and dice.chance(85):
            sparsity.setdefault("weight_density", 0.4)
        if machine["dataflow"] in ("os", "ws", "is") and dice.chance(25):
            machine["schedule"] = "step-by-step"
        return
    crossbar, adc = machine["crossbar"], machine["adc"]
    presets = {1: ("sram_8t", "isaac", "spikesim"), 2: ("isaac", "neurosim_default", "spikesim")}
    several = ("spikesim", "neurosim_default", "neurram_wan2022", "hfo2_generic")
    preset = dice.pick(presets.get(crossbar["cell_bits"], several))
    if dice.chance(30) or crossbar["cell_bits"] > {"sram_8t": 1, "isaac": 2}.get(machine["device"]["preset"], 4):
        machine["device"]["preset"] = preset
    adc["columns_per_adc"] = min(adc["columns_per_adc"], crossbar["cols"])
    if machine["device"].get("read_pulse_ns") is None or machine["clock_mhz"] > 1000:
        machine["device"]["read_pulse_ns"] = dice.pick((0.5, 0.75))


def _set(document: Document, key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        document = document.setdefault(part, {})
    document[last] = value


# --- what is to be refused ------------------------------------------------------------------------------


def _spoil(dice: Dice, case: Case) -> None:
    """Something wrong in one of the documents."""

    def hardware(key: str, value: Any) -> Callable[[], None]:
        return lambda: _set(case.hardware, key, value)

    def workload(key: str, value: Any) -> Callable[[], None]:
        return lambda: _set(case.workload, key, value)

    def layer(key: str, value: Any) -> Callable[[], None]:
        return lambda: _set(dice.pick(case.workload["layers"]), key, value)

    errors = (
        hardware("technology_nm", 45),
        hardware("clock_mhz", 0),
        hardware("costs.table", "nothing"),
        hardware("memories.dram.bandwidth_gbps", -1),
        hardware("dataflow", "sideways"),
        hardware("noc.header_bits", 500),
        hardware("adc.columns_per_adc", 1000),
        hardware("sparsity.spikes", "all"),
        workload("timesteps", 0),
        workload("precision.weight_bits", 33),
        workload("input.encoding", "morse"),
        workload("neuron.leak", 2),
        layer("kernel", 99),
        layer("inputs", ["nowhere"]),
        layer("out_shape", [1, 2, 3]),
        layer("groups", 997),
    )
    dice.pick(errors)()
