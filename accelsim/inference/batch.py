"""A batch of images on its way through the operations and timesteps of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelsim.inference.network_io import class_values
from accelsim.inference.neurons import Neurons
from accelsim.inference.operations import pooling, scaled, summed, viewed
from accelsim.inference.products import attention
from accelsim.inference.run import Collector
from accelsim.inference.values import Value, inward, outward
from accelsim.workload import Operation
from accelsim.workload.outputs import is_constant

if TYPE_CHECKING:
    from accelsim.inference.executor import Network

Array = npt.NDArray[Any]


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
                self.out.potentials[name].append(np.stack([outward(u) for u in steps]))

    def _input(self, name: str, step: int) -> Value:
        steps = self.values[name]
        return steps[min(step, len(steps) - 1)]

    def _all_steps(self, op: Operation) -> None:
        if op.neuron is None or not op.neuron.accumulate_then_fire:
            for step in range(self.steps):
                self._one_step(op, step)
            if op.kind in ("conv2d", "linear") and self.network.on_layer is not None:
                self.values[op.name] = self.network.on_layer(op, self.values[op.name])
            return
        fired = self.neurons.fire(op, [self._input(op.inputs[0], step) for step in range(self.steps)])
        self.values[op.name] = []
        for spikes, potential in fired:
            self._keep_spikes(op, spikes, potential)

    def _one_step(self, op: Operation, step: int) -> None:
        if op.neuron is not None:
            self._keep_spikes(op, *self.neurons.step(op, self._input(op.inputs[0], step)))
            return
        constant = self.static and is_constant(op)
        if constant and step > 0 and (self._reuses() or op.gemm is None):
            return
        operands = [self._input(name, step) for name in op.inputs]
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
        if op.kind in ("conv2d", "linear"):
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
