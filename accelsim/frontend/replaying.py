"""Run a workload from its own description: the reference that a trace or an imported file is checked against.

Plain float32 PyTorch, one timestep after the other, and the executor's neurons (`accelsim.inference.kernels`). This is
the ideal network, not a machine's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.frontend.classify import Chunk, combined, compact
from accelsim.frontend.weighted import outputs_first
from accelsim.inference.neurons import Neurons
from accelsim.inference.values import Value, inward, outward
from accelsim.workload import schema
from accelsim.workload.affine import read_time_affines
from accelsim.workload.graph import Operation
from accelsim.workload.kinds import ConvFields, MatmulSpec
from accelsim.workload.kinds.transposed import TransposedFields
from accelsim.workload.load import Workload
from accelsim.workload.trace import Record, SpikeTrace
from accelsim.workload.weights import check_weights

_TRANSPOSED = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)


@dataclass(frozen=True)
class Replay:
    """What a replay gives."""

    trace: SpikeTrace
    """Inputs of the weighted operations."""
    outputs: npt.NDArray[np.float32]
    """Of the last operation, [T, N, ...]."""


def replay(workload: Workload, weights: Mapping[str, npt.ArrayLike], inputs: npt.ArrayLike) -> Replay:
    """Run the operations of a workload on an input.

    Args:
        workload: the operations and neuron records.
        weights: ``<op>.weight``, ``<op>.bias``, ``<op>.gain`` and ``<op>.offset``, as in a bundle.
        inputs: [N, *shape] (the same at every timestep) or [T, N, *shape].

    Raises:
        InputError: weights are missing, the input does not fit, or the workload holds an `opaque` operation
            whose effect is not known.
    """
    options.instance(workload, Workload, "workload", "a loaded Workload")
    known = options.mapping(weights, "weights", "a mapping of arrays by name")
    arrays = {name: options.array(values, f"weights['{name}']") for name, values in known.items()}
    shape = workload.graph.input_shape
    given = torch.as_tensor(options.array(inputs, "inputs").astype(np.float32))
    if tuple(given.shape[-len(shape) :]) != shape or given.dim() - len(shape) not in (1, 2):
        raise InputError(
            Problem(
                f"expected [images, {list(shape)}] or with timesteps first, found {list(given.shape)}", where="inputs"
            )
        )
    static = given.dim() == len(shape) + 1
    if not static and len(given) < workload.timesteps:
        raise InputError(Problem(f"{len(given)} timesteps, the workload has {workload.timesteps}", where="inputs"))
    runner = _Runner(workload, arrays)
    check_weights(workload.graph, workload.timesteps, arrays)
    with torch.no_grad():
        for step in range(workload.timesteps):
            runner.step(given if static else given[step])
    return Replay(SpikeTrace(runner.records()), torch.stack(runner.outputs).numpy())


class _Runner:
    """Neurons and recorded inputs of one run."""

    def __init__(self, workload: Workload, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self.workload = workload
        self.weights = {name: torch.as_tensor(array.astype(np.float32)) for name, array in weights.items()}
        self.neurons = Neurons(workload.graph, None, keep_potentials=True)
        self.chunks: dict[str, list[Chunk]] = {}
        self.outputs: list[Tensor] = []
        held = {name: array.numpy() for name, array in self.weights.items()}
        self.affine = read_time_affines(held, workload.graph.operations, workload.timesteps)
        for op in workload.graph.operations:
            if op.has_weights and f"{op.name}.weight" not in self.weights:
                raise InputError(Problem("the weights are missing", where=f"{op.name}.weight"))
            if op.kind == "opaque":
                raise InputError(Problem("an opaque operation cannot be replayed", where=op.name))
            if op.neuron is not None and op.neuron.accumulate_then_fire:
                raise InputError(Problem("accumulate_then_fire is not replayed", where=op.name))

    def step(self, frame: Tensor) -> None:
        """One timestep of the whole network."""
        values = {"input": frame}
        last = frame
        for op in self.workload.graph.operations:
            operands = [values[name] for name in op.inputs]
            if op.gemm is not None:
                for index, operand in enumerate(operands):
                    self._keep(op.name if index == 0 else f"{op.name}.rhs", operand)
            kind = "convolution" if isinstance(op.spec, ConvFields) else op.kind
            run: Callable[[Operation, list[Tensor]], Tensor] = getattr(self, f"_{kind}")
            values[op.name] = last = run(op, operands)
        self._check_sums(op.name, last.numpy())
        self.outputs.append(last)

    def _check_sums(self, name: str, values: npt.NDArray[np.float32]) -> None:
        if not np.isfinite(values).all():
            message = f"sums beyond float32's largest number ({np.finfo(np.float32).max:.4g})"
            raise InputError(Problem(f"{message}: weights or inputs are too large", where=name))

    def _keep(self, name: str, operand: Tensor) -> None:
        self.chunks.setdefault(name, []).append(compact(operand[None].numpy(), name))

    def records(self) -> dict[str, Record]:
        """The recorded inputs, packed."""
        records = {}
        for op in self.workload.graph.weighted:
            for index, kind in enumerate(op.in_types):
                name = op.name if index == 0 else f"{op.name}.rhs"
                records[name] = combined(self.chunks[name], real=not kind.is_spiking)
        return records

    # --- operations -------------------------------------------------------------------------------------

    def _convolution(self, op: Operation, operands: list[Tensor]) -> Tensor:
        spec: Any = op.spec
        weight, bias = self.weights[f"{op.name}.weight"], self.weights.get(f"{op.name}.bias")
        weight = weight.reshape(len(weight), -1, *spec.kernel)
        if isinstance(spec, TransposedFields):
            turned = outputs_first(weight, spec.groups)
            transposed: Any = _TRANSPOSED[spec.rank - 1]
            sizes = (spec.stride, spec.padding, spec.output_padding, spec.groups, spec.dilation)
            return torch.as_tensor(transposed(operands[0], turned, bias, *sizes))
        convolution: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[spec.rank - 1]
        found: Tensor = convolution(operands[0], weight, bias, spec.stride, spec.padding, spec.dilation, spec.groups)
        return found

    def _linear(self, op: Operation, operands: list[Tensor]) -> Tensor:
        weight = self.weights[f"{op.name}.weight"]
        return functional.linear(operands[0], weight.reshape(len(weight), -1), self.weights.get(f"{op.name}.bias"))

    def _matmul(self, op: Operation, operands: list[Tensor]) -> Tensor:
        spec = op.spec
        assert isinstance(spec, MatmulSpec)
        a, b = (self._heads(operand, spec.heads) for operand in operands)
        product = a @ (b.transpose(-1, -2) if spec.transpose_b else b)
        if len(op.out_shape) == 3:
            return product
        return product.transpose(1, 2).reshape(len(product), *op.out_shape)

    def _heads(self, operand: Tensor, heads: int) -> Tensor:
        if operand.dim() == 4:
            return operand
        images, tokens, features = operand.shape
        return operand.reshape(images, tokens, heads, features // heads).transpose(1, 2)

    def _avgpool2d(self, op: Operation, operands: list[Tensor]) -> Tensor:
        spec: Any = op.spec
        return functional.avg_pool2d(operands[0], spec.kernel, spec.stride, spec.padding, spec.ceil_mode)

    def _maxpool2d(self, op: Operation, operands: list[Tensor]) -> Tensor:
        spec: Any = op.spec
        return functional.max_pool2d(operands[0], spec.kernel, spec.stride, spec.padding, 1, spec.ceil_mode)

    def _add(self, op: Operation, operands: list[Tensor]) -> Tensor:
        total = operands[0]
        for operand in operands[1:]:
            total = total + operand
        return total

    def _time_affine(self, op: Operation, operands: list[Tensor]) -> Tensor:
        axis = 1 + op.channel_axis
        per_channel = [-1 if dim == axis else 1 for dim in range(operands[0].dim())]
        step, affine = len(self.outputs), self.affine[op.name]
        gain, offset = (
            torch.tensor(table[step]).float().reshape(per_channel) for table in (affine.gain, affine.offset)
        )
        return operands[0] * gain + offset

    def _flatten(self, op: Operation, operands: list[Tensor]) -> Tensor:
        return operands[0].flatten(1)

    def _tokens(self, op: Operation, operands: list[Tensor]) -> Tensor:
        return operands[0].flatten(2).transpose(1, 2)

    def _view(self, op: Operation, operands: list[Tensor]) -> Tensor:
        assert isinstance(op.spec, schema.ViewSpec)
        if not op.spec.in_order:
            raise InputError(Problem("which elements a view moves is not known; it cannot be replayed", where=op.name))
        return operands[0].reshape(len(operands[0]), *op.out_shape)

    def _neuron(self, op: Operation, operands: list[Tensor]) -> Tensor:
        """Spikes by the executor's rule.

        Raises:
            InputError: a membrane left float32; it would never come back.
        """
        spikes, potential = self.neurons.step(op, Value(inward(operands[0].numpy(), op.channels_first)))
        assert potential is not None
        self._check_sums(op.name, potential)
        return torch.from_numpy(np.ascontiguousarray(outward(spikes.codes, op.channels_first), dtype=np.float32))
