"""Counting rules of the papers and of the public operation counters: syops, norse, NeuroBench."""

from __future__ import annotations

import math
from typing import Literal

from accelsim.estimate.evidence import Evidence
from accelsim.estimate.papers import Accumulations, FirstLayer, count
from accelsim.estimate.tally import ArithmeticConvention, Tally, named
from accelsim.workload import Operation
from accelsim.workload.fanout import reachable_macs
from accelsim.workload.kinds import ConvFields, LinearSpec
from accelsim.workload.schema import AvgPoolSpec, PoolFields


class Papers(ArithmeticConvention):
    """The papers' formula: E = E_AC x accumulations of spiking layers + E_MAC x MACs of analog layers.

    Counts accumulations by firing rate x dense MACs, or exactly; a static image's layer once or at every
    timestep. Leaves out everything but arithmetic. Source: `accelsim.estimate.estimate`, which it is.
    """

    formula: Literal["papers"]
    accumulations: Accumulations
    """By firing rate, or exact."""
    first_layer: FirstLayer
    """How often a static image's layer counts."""

    def tally(self, evidence: Evidence) -> Tally:
        """See the class."""
        counts = count(evidence.workload, self.accumulations, self.first_layer)
        return Tally(counts.accumulations, counts.macs, bill_pj=self.charge(counts.accumulations, counts.macs))


class Syops(ArithmeticConvention):
    """The rules of syops: every module call costs its dense operations x the mean of its input.

    A layer whose input has at most two values, none below 0 or above 1, costs (MACs + bias additions) x
    mean input accumulations; any other input costs all of them as MACs. A pooling costs its input elements
    the same way, a neuron one accumulation per timestep. Every call counts, so a static first layer counts T
    times. Padding taps count. Products of two activations are no modules and cost nothing. The tool only
    knows exact types of modules: a subclass of Conv2d costs nothing there, which is not restated here. It adds
    the bias of a fully-connected layer once per call, whatever the batch; here a call holds one image.

    Source: hooks of syops 0.0.5 (``ops.py``).
    """

    formula: Literal["syops"]

    def tally(self, evidence: Evidence) -> Tally:
        """See the class."""
        workload, steps = evidence.workload, evidence.workload.timesteps
        acs = macs = neurons = unseen = 0.0
        unknown: list[str] = []
        products: list[str] = []
        for op in workload.graph.operations:
            if op.kind == "matmul":
                products.append(op.name)
            elif op.kind == "neuron":
                neurons += op.out_elements * steps
            elif isinstance(op.spec, PoolFields):
                if op.in_types[0].kind != "binary":
                    macs += op.in_elements * steps
                elif (spikes := _pooled_spikes(evidence, op)) is not None:
                    acs += spikes
                else:
                    unknown.append(op.name)
                    unseen += op.in_elements * steps
            elif op.gemm is not None:
                work = op.gemm.macs + _bias_additions(op)
                mean = _two_valued_mean(evidence, op)
                if mean is None:
                    macs += work * steps
                else:
                    acs += work * mean * steps
        notes = []
        if products:
            notes.append(f"products of activations are not seen: {named(products)}")
        if unknown:
            notes.append(
                f"input spikes of {named(unknown)} are not in the trace (it holds inputs of weighted operations): "
                f"left out, at most {unseen:,.0f} accumulations"
            )
        acs += neurons
        return Tally(acs, macs, {"neuron updates": neurons}, self.charge(acs, macs), tuple(notes))


def _bias_additions(op: Operation) -> float:
    if isinstance(op.spec, ConvFields):
        return float(op.out_elements) if op.spec.bias else 0.0
    if isinstance(op.spec, LinearSpec):
        return float(op.spec.out_features) if op.spec.bias else 0.0
    return 0.0


def _two_valued_mean(evidence: Evidence, op: Operation) -> float | None:
    """Mean input over timesteps and images where it passes for spikes; None for what counts as float work."""
    levels = evidence.levels(op)
    if levels is None:
        spiking = op.in_types[0].kind == "binary"
    else:
        spiking = len(levels) <= 2 and min(levels) >= 0.0 and max(levels) <= 1.0
    total = evidence.value_sum(op) if spiking else None
    return None if total is None else total / (op.in_elements * evidence.workload.timesteps)


def _pooled_spikes(evidence: Evidence, op: Operation) -> float | None:
    """Spikes that enter a pooling. The trace has what leaves it: enough for averages over disjoint windows."""
    spec, reader = op.spec, evidence.reader(op)
    assert isinstance(spec, PoolFields)
    tiled = (spec.stride or spec.kernel) == spec.kernel and spec.padding == (0, 0)
    whole = all(size % window == 0 for size, window in zip(op.in_shapes[0][1:], spec.kernel, strict=True))
    if not isinstance(spec, AvgPoolSpec) or reader is None or not (tiled and whole):
        return None
    total = evidence.value_sum(reader)
    return None if total is None else total * math.prod(spec.kernel)


class FullFanout(ArithmeticConvention):
    """Every spike meets the whole kernel: sum of the input values x C_out k_h k_w / groups, or x outputs (linear).

    Neither stride nor borders are seen, so a stride of s over-counts by s^2. The counter wraps the layers
    that see spikes; analog layers and products of activations are left out. Multi-valued inputs count by value.

    Source: norse pull request 444 (``SynOpsCounter``), which sums the input as it is.
    """

    formula: Literal["fanout"]

    def tally(self, evidence: Evidence) -> Tally:
        """See the class."""
        acs, left_out, approximate = 0.0, [], []
        for op in evidence.workload.graph.weighted:
            gemm = op.products()
            if not op.in_types[0].is_spiking or op.kind == "matmul":
                left_out.append(op.name)
                continue
            total = evidence.value_sum(op)
            if total is None:
                approximate.append(op.name)
                total = float(evidence.workload.activity[op.name].ones.mean(axis=1).sum())
            acs += total * op.field.taps * gemm.n
        notes = [f"not counted: {named(left_out)}"] if left_out else []
        if approximate:
            notes.append(f"without spikes, set bits stand for the values of {named(approximate)}")
        return Tally(acs, bill_pj=self.charge(acs, 0.0), notes=tuple(notes))


class NeuroBench(ArithmeticConvention):
    """NeuroBench's synaptic operations: pairs of a non-zero input and a non-zero weight, borders respected.

    They are accumulations where the input has only the values -1, 0 and 1, MACs otherwise; biases and
    neurons do not count, nor do products of two activations. Every call counts, so a static first layer counts
    T times. `dense` counts zero inputs and weights, too. The tool gives no energy; the prices are ours.

    Source: NeuroBench 2.3.0 (``metrics/workload/synaptic_operations.py``), which convolves a binarised input
    with binarised weights.
    """

    formula: Literal["neurobench"]
    dense: bool
    """Count zero inputs and zero weights, too."""

    def tally(self, evidence: Evidence) -> Tally:
        """See the class."""
        acs = macs = 0.0
        products, unpruned = [], False
        for op in evidence.workload.graph.weighted:
            if op.kind == "matmul":
                products.append(op.name)
                continue
            unpruned |= evidence.nonzero_weights(op) is None
            if self.dense:
                work = float(reachable_macs(op) * evidence.workload.timesteps)
            else:
                work = evidence.effective_products(op)
            if evidence.only(op, (-1.0, 0.0, 1.0)):
                acs += work
            else:
                macs += work
        notes = []
        if unpruned and not self.dense:
            notes.append("no weights at hand: none is taken as zero")
        if products:
            notes.append(f"products of activations are not seen: {named(products)}")
        return Tally(acs, macs, {}, self.charge(acs, macs), tuple(notes))
