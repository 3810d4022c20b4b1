"""What single precision leaves open where two programs add the same numbers in different orders.

A sum of n products x w computed in any order lies within lambda sqrt(n) u sum |x||w| of the exact one, u = 2^-24,
but with a probability below 2 n exp(-lambda^2 / 2) (Higham and Mary, SIAM J. Sci. Comput. 41, 2019): with lambda = 8
that is 1e-11 for a thousand terms. Everything here follows from it; no tolerance is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.inference.run import Run
from accelsim.inference.values import Value, inward, outward
from accelsim.workload import Bundle, Operation, SpikeTrace, Workload
from accelsim.workload.schema import NeuronFields

UNIT_ROUNDOFF = 2.0**-24
DOUBLE_ROUNDOFF = 2.0**-53
LAMBDA = 8.0

Array = npt.NDArray[Any]


def sum_bound(terms: Any, magnitude: Any, unit: float = UNIT_ROUNDOFF) -> Any:
    """How far a sum of `terms` terms may be off whose absolute values add up to `magnitude`; single precision."""
    return LAMBDA * np.sqrt(terms) * unit * magnitude


def steps_bound(roundings: int, magnitude: Any, unit: float = UNIT_ROUNDOFF) -> Any:
    """How far a result may be off after so many roundings of parts that are no larger than `magnitude`, for certain."""
    return roundings * unit / (1 - roundings * unit) * magnitude


@dataclass(frozen=True)
class Agreement:
    """How two programs' runs of the same images compare."""

    turned_per_million: float
    """Spikes that differ, each of them explained."""
    same_images: Array
    """[N] images whose spikes are all equal."""


@dataclass(frozen=True)
class Reference:
    """A network on ideal arithmetic, whose sums are exact, with what another program's sums may differ by."""

    run: Run
    membranes: Mapping[str, Array]
    """For each neuron layer, the largest difference of its membranes, in thresholds; [T, N, *shape] or one for all."""
    outputs: Array
    """The largest difference of the outputs of images whose spikes are all the same; [T, N, ...] or one for all."""

    @classmethod
    def of(cls, workload: Workload, weights: Mapping[str, Any], inputs: Any, folded: float = 0.0) -> Reference:
        """`folded`: the largest |mean| gain + |beta| of batch-norms that the other program has not folded."""
        network = Network(workload, weights, Arithmetic())
        run = network.run(np.asarray(inputs), potentials=True)
        sizes, connected = ({name: of(array) for name, array in weights.items()} for of in (np.abs, _ones))
        off: dict[str, Array] = {"input": np.zeros(1)}
        membranes = {}
        for op in workload.graph.operations:
            incoming = off[op.inputs[0]]
            if op.neuron is not None:
                membranes[op.name] = _of_membranes(op.neuron, incoming, run.potentials[op.name])
                incoming = np.zeros(1)
            elif op.has_weights:
                seen = np.abs(run.trace[op.name].dense())
                magnitude = _products(workload, sizes, op, seen)
                terms = _products(workload, connected, op, (seen > 0).astype(np.float32))
                incoming = sum_bound(terms + 2, magnitude + folded) + incoming.max() * magnitude
            elif op.kind == "add":
                incoming = sum((off[name] for name in op.inputs), start=np.zeros(1))
            elif op.kind == "time_affine":
                affine = network.in_time[op.name]
                gain, offset = np.abs(affine.gain).max(), np.abs(affine.offset).max()
                current = np.abs(run.potentials[_reader(workload, op)]).max()
                incoming = gain * incoming + 4 * UNIT_ROUNDOFF * (current + offset)
            else:
                incoming = incoming.max(keepdims=True)  # pooling and views: no larger anywhere
            off[op.name] = incoming
        outputs = off[workload.graph.operations[-1].name]
        if outputs.ndim > run.logits.ndim:  # logits are means over tokens
            outputs = outputs.max(axis=2)
        return cls(run, membranes, outputs)

    def close(self) -> npt.NDArray[np.bool_]:
        """[T, N] whether any membrane of an image was within rounding of its threshold at that timestep or before."""
        found = np.zeros(self.run.logits.shape[:2], dtype=bool)
        for name, potential in self.run.potentials.items():
            levels = np.maximum(np.rint(potential), 1.0)  # neurons that fire more than once have several thresholds
            near = np.abs(potential - levels) <= self.membranes[name]
            found |= near.reshape(*near.shape[:2], -1).any(axis=2)
        return np.logical_or.accumulate(found, axis=0)

    def check(self, trace: SpikeTrace, outputs: Any) -> Agreement:
        """Another program's inputs of weighted operations and outputs [T, N, ...] agree with these.

        Spikes are equal, unless a membrane of that image was within rounding of its threshold at that timestep or
        before; outputs (None: they are not compared) are within rounding, in images whose spikes are all equal.
        """
        differs = np.zeros(self.run.logits.shape[:2], dtype=bool)
        turned = sites = 0
        for name, record in trace.items():
            if record.kind != "real":
                different = np.abs(self.run.trace[name].dense() - record.dense()) > record.scale / 2
                turned, sites = turned + int(different.sum()), sites + different.size
                differs |= different.reshape(*different.shape[:2], -1).any(axis=2)
        unexplained = np.argwhere(differs & ~self.close())
        assert not len(unexplained), f"spikes differ without a reason, (timestep, image): {unexplained[:5].tolist()}"
        same = ~differs.any(axis=0)
        assert same.any(), "every image has a turned spike: the comparison would say nothing"
        outputs = self.run.logits if outputs is None else np.asarray(outputs).reshape(self.run.logits.shape)
        error = np.abs(self.run.logits - outputs)
        allowed = np.broadcast_to(self.outputs, error.shape)
        beyond = (error > allowed) & same.reshape(1, -1, *[1] * (error.ndim - 2))
        assert not beyond.any(), f"outputs differ by {error[beyond].max()}, rounding explains {allowed[beyond].min()}"
        return Agreement(1e6 * turned / max(sites, 1), same)


def _of_membranes(record: NeuronFields, incoming: Array, potential: Array) -> Array:
    """Differences of currents gathered over the timesteps, and a few roundings of the membrane in each of them."""
    each = incoming * abs(record.input_gain) / record.threshold + 4 * UNIT_ROUNDOFF * (1 + np.abs(potential))
    if each.ndim < 2:
        return len(potential) * each
    return np.cumsum(each, axis=0)


def _products(workload: Workload, weights: Mapping[str, Array], op: Operation, inputs: Array) -> Array:
    """[T, N, ...] products of an operation with other weights and inputs, in the order of files."""
    network = Network(workload, weights, Arithmetic())
    first = op.channels_first
    found = [network.weighted(op, Value(inward(frame, first)), 0, 0) for frame in inputs]
    return np.stack([outward(value.codes, first) for value in found])


def _ones(array: Array) -> Array:
    return (np.asarray(array) != 0).astype(np.float32)


def _reader(workload: Workload, op: Operation) -> str:
    """The neuron layer behind an operation."""
    return next(o.name for o in workload.graph.operations if o.index > op.index and o.neuron is not None)


def bundles_agree(bundle: Bundle, *others: Bundle) -> None:
    """Bundles of the same network and images, made in other ways, agree with the first one's exact sums."""
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    for one in (bundle, *others):
        records = zip(bundle.trace, one.trace.values(), strict=True)  # operations may have other names
        reference.check(SpikeTrace(dict(records)), one.samples.get("logits"))
