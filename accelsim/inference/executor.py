"""Runs a workload's operations timestep by timestep on an arithmetic, and records what happened.

network = Network(workload, weights, hardware.machine.arithmetic(workload.precision), seed=0)
network.calibrate(calibration_images)
run = network.run(images)
run.logits, run.trace
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import Array
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.crossbar_product import CrossbarProduct
from accelsim.inference.network_io import check_inputs, class_values
from accelsim.inference.neurons import Neurons
from accelsim.inference.operations import pooling, scaled, summed, viewed
from accelsim.inference.products import IdealProduct, Product, QuantisedProduct, attention, shifted
from accelsim.inference.run import Collector, Run
from accelsim.inference.values import Value, inward, outward
from accelsim.inference.weights import activation_unit, quantised, read_layer, shifting_unit
from accelsim.workload import Operation, Record, Workload
from accelsim.workload.affine import read_time_affines
from accelsim.workload.outputs import is_constant
from accelsim.workload.schema import ViewSpec

Progress = Callable[[int, int], None]
OnLayer = Callable[[Operation, list[Value]], list[Value]]

DEFAULT_BATCH = 32
_DEFAULT_DENSITY = 0.15  # share of active rows where nothing was calibrated
_WIDEST_CODE = 255


class Network:
    """A workload with its weights on one arithmetic; programming variation and noise follow from `seed`.

    Results do not depend on the number of threads, on the kernels of the BLAS library, or on how images are cut into
    batches: sums of products are exact, floating-point ones too (`accelsim.core.exact`), and read noise is drawn for
    the image, wherever it stands.

    Raises:
        InputError: weights are missing, or an operation cannot be executed (`opaque`, a `view` not in order).
    """

    def __init__(
        self, workload: Workload, weights: Mapping[str, Array], arithmetic: Arithmetic, *, seed: int = 0
    ) -> None:
        self.workload, self.arithmetic, self.seed = workload, arithmetic, seed
        self._weights = weights
        for op in workload.graph.operations:
            if op.kind == "opaque" or (isinstance(op.spec, ViewSpec) and not op.spec.in_order):
                raise InputError(
                    Problem(f"what this {op.kind} does to values is not known; it cannot run", where=op.name)
                )
        self.in_time = read_time_affines(weights, workload.graph.operations, workload.timesteps)
        self.by_layer = any(
            op.neuron is not None and op.neuron.accumulate_then_fire for op in workload.graph.operations
        )
        """All timesteps of an operation before the next one, instead of all operations of a timestep."""
        if self.by_layer:
            self.check_by_layer()
        self._units: dict[str, float] = {}
        self._products: dict[str, Product] = {}
        self.affine: dict[str, tuple[Array, Array]] = {}
        """For each weighted operation, factor and offset (real) of each channel's currents, where adapted."""
        self.on_layer: OnLayer | None = None
        """Given each weighted operation's currents of all timesteps; what it returns goes on. Needs `by_layer`."""

    def check_by_layer(self) -> None:
        """Refuse to go layer after layer where layers share membranes within a timestep.

        Raises:
            InputError: they do.
        """
        for op in self.workload.graph.operations:
            if op.neuron is not None and op.neuron.shares_state_with:
                message = "shares_state_with needs timestep after timestep; accumulate_then_fire and the adaptations "
                raise InputError(Problem(f"{message}need layer after layer", where=op.name))

    # -- preparation -----------------------------------------------------------------------------------

    def calibrate(self, inputs: Array, *, reference: Run | None = None) -> None:
        """Fix everything that a chip's maker sets once, on sample images without labels [N, ...] or [T, N, ...].

        Steps of analog activations; converter steps (remedy ``adc_range``); the typical share of spikes, for
        the read noise. What layers see is taken from a run of the floating-point network (`reference`, if it
        is known already).
        """
        if not self.arithmetic.is_machine:
            return
        ideal = reference or Network(self.workload, self._weights, Arithmetic()).run(inputs)
        settings = self.arithmetic.crossbars
        bits = self.arithmetic.precision.activation_bits
        self._products = {}
        for op in self.workload.graph.weighted:
            if not op.has_weights:
                continue
            record = ideal.trace[op.name]
            if op.in_types[0].spikes_later:
                self._units[op.name] = shifting_unit(record.first(1).dense(), bits)
            elif not op.in_types[0].is_spiking:
                self._units[op.name] = activation_unit(record.dense(), bits)
            density = (
                float(record.ones().mean()) / (record.elements * record.planes) if record.bits is not None else 0.5
            )
            product = self._products[op.name] = self._product(op, density)
            if settings is not None and "adc_range" in settings.remedies and isinstance(product, CrossbarProduct):
                first = record.first(1) if op.in_types[0].spikes_later else record
                product.calibrate(self._coded(op, self._samples(op, first)))

    def _samples(self, op: Operation, record: Record) -> Value:
        """A few of a record's maps: all timesteps of the images that make up about 32 maps."""
        values = record.dense()
        images = max(1, min(values.shape[1], 32 // values.shape[0]))
        picked = values[:, :images].reshape(-1, *values.shape[2:])
        if record.kind == "real":
            return Value(inward(picked, op.channels_first))
        return Value(inward(np.rint(picked / record.scale).astype(np.int32), op.channels_first), record.scale)

    def _product(self, op: Operation, density: float) -> Product:
        layer = read_layer(op, self._weights)
        arithmetic = self.arithmetic
        precision = arithmetic.precision
        largest = op.in_types[0].max_value if op.in_types[0].is_spiking else 2**precision.activation_bits - 1
        if not arithmetic.is_machine:
            return IdealProduct(layer, largest)
        codes = quantised(layer, precision.weight_bits)
        settings = arithmetic.crossbars
        if settings is None or (settings.first_layer == "digital" and op.in_types[0].kind == "real"):
            return QuantisedProduct(codes, largest)
        return CrossbarProduct(codes, settings, precision.weight_bits, self.seed, density)

    # -- running ---------------------------------------------------------------------------------------

    def run(
        self,
        inputs: Array,
        *,
        batch: int = DEFAULT_BATCH,
        potentials: bool | int = False,
        progress: Progress | None = None,
    ) -> Run:
        """Run images [N, *shape] (the same at every timestep) or [T, N, *shape].

        `potentials` keeps every membrane, or those of the first so many images (memory: 4 bytes per neuron,
        timestep and image); `progress` is told (images done, images in all).

        Raises:
            InputError: inputs that do not fit, or analog ones on a machine that was not calibrated.
        """
        given, static = check_inputs(self.workload, inputs)
        images = given.shape[0 if static else 1]
        outcome = Collector(self.workload, images if potentials is True else int(potentials))
        for first in range(0, images, batch):
            part = given[first : first + batch] if static else given[:, first : first + batch]
            Batch(self, part, static, first, outcome).run()
            if progress is not None:
                progress(min(first + batch, images), images)
        products = [product for product in self._products.values() if isinstance(product, CrossbarProduct)]
        return outcome.run(sum(p.conversions for p in products), sum(p.clipped for p in products))

    def weighted(self, op: Operation, value: Value, step: int, first_image: int, place: float = 1.0) -> Value:
        """Currents of one weighted operation at one timestep.

        `place` is what a spike of this timestep stands for in spikes of the last one (radix coding). A machine
        computes with the plain spikes and shifts their sums to the left; the bias is not shifted.
        """
        product = self._products.get(op.name)
        if product is None:
            product = self._products[op.name] = self._product(op, _DEFAULT_DENSITY)
        if self.arithmetic.is_machine and op.in_types[0].spikes_later and step > 0:
            # Spikes behind an analog frame: the sums they cause are shifted to the step of the frame's sums.
            unit = self._unit(op)
            coded = Value(value.codes.astype(np.int64), unit)
            found = shifted(product(coded, step, first_image), self._weights.get(f"{op.name}.bias"), 1.0 / unit)
        elif self.arithmetic.is_machine:
            coded = self._coded(op, Value(value.codes, value.unit / place))
            found = shifted(product(coded, step, first_image), self._weights.get(f"{op.name}.bias"), place)
        else:
            found = product(value, step, first_image)
        return self.adapted(op, found) if op.name in self.affine else found

    def adapted(self, op: Operation, value: Value) -> Value:
        """Currents [images, ..., channels] with the factor and the offset of their channels; whole on a machine."""
        factor, offset = self.affine[op.name]
        codes = value.codes * factor + offset / value.unit
        return Value(np.rint(codes) if self.arithmetic.is_machine else codes.astype(value.codes.dtype), value.unit)

    def _coded(self, op: Operation, value: Value) -> Value:
        """Analog inputs as the machine holds them; spikes as they are."""
        if op.in_types[0].is_spiking:
            return value
        unit, top = self._unit(op), 2**self.arithmetic.precision.activation_bits - 1
        codes = np.clip(np.rint(value.codes * (value.unit / unit)), -top, top)
        return Value(codes.astype(np.int64), unit)

    def _unit(self, op: Operation) -> float:
        """The step of an analog input."""
        if op.name not in self._units:
            raise InputError(Problem(f"'{op.name}' has analog inputs; calibrate the network first"))
        return self._units[op.name]


class Batch:
    """One batch of images through all timesteps.

    Timestep after timestep, as hardware with shared membranes must; layer after layer where neurons wait
    for all inputs (`accumulate_then_fire`). Both orders give the same spikes otherwise.
    """

    def __init__(self, network: Network, inputs: Array, static: bool, first_image: int, out: Collector) -> None:
        self.network, self.static, self.first_image, self.out = network, static, first_image, out
        self.graph = network.workload.graph
        self.steps = network.workload.timesteps
        spiking = self.graph.input_type.is_spiking
        frames = [inputs] if static else list(inputs[: self.steps])
        later = self.graph.input_type.spikes_later
        values = [
            Value(inward(frame.astype(np.int32) if spiking or (later and step) else frame))
            for step, frame in enumerate(frames)
        ]
        self.values: dict[str, list[Value]] = {"input": values}
        bits = network.arithmetic.precision.membrane_bits if network.arithmetic.is_machine else None
        self.neurons = Neurons(self.graph, bits, first_image < out.keep)
        self.kept: dict[str, list[Array]] = {name: [] for name in out.potentials}

    def run(self) -> None:
        """All operations of all timesteps."""
        self.out.start_batch()
        operations = self.graph.operations
        if self.network.by_layer:
            for op in operations:
                self._all_steps(op)
        else:
            for step in range(self.steps):
                for op in operations:
                    self._one_step(op, step)
        last = self.values[operations[-1].name]
        logits = [class_values(operations[-1], value) for value in last]
        self.out.logits.append(np.stack(logits * (self.steps // len(logits))))
        for name, steps in self.kept.items():
            if steps:
                first = self.graph.by_name[name].channels_first
                self.out.potentials[name].append(np.stack([outward(u, first) for u in steps]))

    def _input(self, op: Operation, name: str, step: int) -> Value:
        """What `op` reads from `name`, in its own order of axes."""
        steps = self.values[name]
        value = steps[min(step, len(steps) - 1)]
        other = name != "input" and self.graph.by_name[name].channels_first
        if value.codes.ndim != 3 or other == op.channels_first:
            return value
        return Value(np.ascontiguousarray(value.codes.swapaxes(1, 2)), value.unit)

    def _all_steps(self, op: Operation) -> None:
        if op.neuron is None or not op.neuron.accumulate_then_fire:
            for step in range(self.steps):
                self._one_step(op, step)
            if op.has_weights and self.network.on_layer is not None:
                self.values[op.name] = self.network.on_layer(op, self.values[op.name])
            return
        fired = self.neurons.fire(op, [self._input(op, op.inputs[0], step) for step in range(self.steps)])
        self.values[op.name] = []
        for spikes, potential in fired:
            self._keep_spikes(op, spikes, potential)

    def _one_step(self, op: Operation, step: int) -> None:
        if op.neuron is not None:
            self._keep_spikes(op, *self.neurons.step(op, self._input(op, op.inputs[0], step)))
            return
        constant = self.static and is_constant(op)
        if constant and step > 0 and (self._reuses() or op.gemm is None):
            return
        operands = [self._input(op, name, step) for name in op.inputs]
        for index, operand in enumerate(operands if op.gemm is not None else ()):
            recorder = self.out.inputs[op.name + (".rhs" if index else "")]
            if step == 0 or not (self.static and op.in_types[index].static):
                recorder.add(operand)
        self.values.setdefault(op.name, []).append(self._evaluate(op, operands, step))

    def _place(self, op: Operation, operand: Value) -> float:
        """What a spike of this timestep stands for in spikes of the last one: 1 but for radix coding."""
        return operand.unit / self.values[op.inputs[0]][-1].unit if self.network.by_layer else 1.0

    def _reuses(self) -> bool:
        crossbars = self.network.arithmetic.crossbars
        return crossbars is None or crossbars.reuse_static

    def _keep_spikes(self, op: Operation, spikes: Value, potential: Array | None) -> None:
        self.values.setdefault(op.name, []).append(spikes)
        self.out.spikes[op.name].add(spikes)
        if potential is not None:
            self.kept[op.name].append(potential)

    def _evaluate(self, op: Operation, operands: list[Value], step: int) -> Value:
        if op.has_weights:
            return self.network.weighted(op, operands[0], step, self.first_image, self._place(op, operands[0]))
        if op.kind == "matmul":
            return attention(op, *operands)
        if op.kind in ("avgpool2d", "maxpool2d"):
            return pooling(op, operands[0])
        if op.kind == "add":
            return summed(op, operands, self.network.arithmetic.is_machine)
        if op.kind == "time_affine":
            return scaled(self.network.in_time[op.name], operands[0], step, self.network.arithmetic.is_machine)
        return viewed(op, operands[0])
