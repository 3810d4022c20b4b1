"""Compute energy by operation counts at 45 nm, as the conversion and hybrid-encoding literature claims it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.estimate import estimate, op_energy
from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce.experiment import Bench, Outcome, Row
from accelsim.studies.reproduce.experiments.ann_vs_snn import PAIRS
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.workload import Workload

FIGURE = Published("op_energy")
MULTIPLY = {32: 3.1, 8: 0.2}
ADD = {32: 0.1, 8: 0.03}
SHIFT = {32: 0.13, 8: 0.024}
COMPARE = {32: 0.08, 8: 0.03}
"""pJ by word width: Datta et al. 2023, Table 4 (multiplication and addition from Horowitz, the rest their circuits)."""
NETWORK = "vgg16_cifar10"
WORKLOADS = ("vgg9_cifar10", "vgg16_cifar10", "resnet19_cifar10")


@dataclass(frozen=True)
class LayerFlops:
    """Operations of one layer by Table III of the hybrid-encoding paper."""

    name: str
    ann: float
    """Multiply-accumulates."""
    spikes: float
    """Spikes per input neuron over all T."""
    snn: float
    """MACs of an analog layer, accumulations of a spiking one."""
    analog: bool


def flops(workload: Workload) -> list[LayerFlops]:
    """F_ANN and F_SNN = F_ANN x spikes per neuron, layer by layer; a layer on the image multiplies once."""
    layers = []
    for op in workload.graph.weighted:
        activity, analog = workload.activity[op.name], not op.in_types[0].is_spiking
        macs = float(op.products().macs)
        spikes = 1.0 if analog else float(activity.ones.mean(axis=1).sum() / activity.elements)
        layers.append(LayerFlops(op.name, macs, spikes, macs * spikes, analog))
    return layers


def energies_pj(layers: list[LayerFlops], e_mac_pj: float, e_ac_pj: float) -> tuple[float, float]:
    """E_ANN and E_SNN by Eqs. (24) and (25) of the hybrid-encoding paper."""
    ann = sum(layer.ann for layer in layers) * e_mac_pj
    return ann, sum(layer.snn * (e_mac_pj if layer.analog else e_ac_pj) for layer in layers)


def implied_spikes(layers: list[LayerFlops], gain: float, e_mac_pj: float, e_ac_pj: float) -> float:
    """Spikes per neuron over all T, the same in every layer, with which E_ANN / E_SNN is `gain`."""
    analog = sum(layer.ann for layer in layers if layer.analog)
    spiking = sum(layer.ann for layer in layers if not layer.analog)
    return ((analog + spiking) * e_mac_pj / gain - analog * e_mac_pj) / (spiking * e_ac_pj)


def _run(bench: Bench) -> Outcome:
    workload = bench.workload(NETWORK)
    rows = [*_prices(), *_claims(workload), *_conversion(), *_neuron_operations(workload)]
    for name in WORKLOADS:
        rows += _machines(bench, name)
    for layer in flops(workload):
        names: dict[str, Any] = {"name": NETWORK, "layer": layer.name, "operation": "MAC" if layer.analog else "AC"}
        about = f"{layer.spikes:.3g} spikes per neuron in {workload.timesteps} timesteps"
        note = "the image, once" if layer.analog else about
        rows.append(FIGURE.row("ann_operations", reproduced=layer.ann, **names))
        rows.append(FIGURE.row("snn_operations", reproduced=layer.snn, note=note, **names))
    return Outcome(rows, FIGURE.notes(), {"op_energy": partial(_draw, rows)})


def _prices() -> Iterator[Row]:
    int32, int8 = op_energy("45nm_int32"), op_energy("45nm_int8")
    yield FIGURE.row("mac", reproduced=MULTIPLY[32] + ADD[32])
    yield FIGURE.row("ac", reproduced=int32.e_ac_pj)
    yield FIGURE.row("mac_over_ac_32", reproduced=int32.e_mac_pj / int32.e_ac_pj)
    yield FIGURE.row("mac_over_ac_8", reproduced=int8.e_mac_pj / int8.e_ac_pj)
    cut = 0.1 / float(FIGURE.printed("multiplication_8"))
    yield FIGURE.row("multiplication_8", reproduced=MULTIPLY[8] / ADD[8], tolerance=cut)
    yield FIGURE.row("multiplication_32", reproduced=MULTIPLY[32] / ADD[32])
    for name, prices in (("shift", SHIFT), ("comparison", COMPARE)):
        for bits, pj in prices.items():
            yield FIGURE.row(name, reproduced=pj / ADD[bits], bits=bits)


def _claims(workload: Workload) -> Iterator[Row]:
    ops, layers = op_energy("45nm_int32"), flops(workload)
    ann, snn = energies_pj(layers, ops.e_mac_pj, ops.e_ac_pj)
    silent = ann / sum(layer.ann * ops.e_mac_pj for layer in layers if layer.analog)
    for data in ("CIFAR-10", "CIFAR-100"):
        gain = float(FIGURE.printed("claim", f"VGG16, {data}"))
        spikes = implied_spikes(layers, gain, ops.e_mac_pj, ops.e_ac_pj)
        yield FIGURE.row("claim", data=data, silent=silent)
        yield FIGURE.row("implied", reproduced=spikes, data=data, percent=100 * spikes / 5)
    rates = workload.file.activity.source
    yield FIGURE.row("known", reproduced=ann / snn, name=workload.name, t=workload.timesteps, rates=rates)


def _conversion() -> Iterator[Row]:
    for end, zeros in (("least", 0.71), ("most", 0.79)):
        gains = {bits: 0.5 * (MULTIPLY[bits] + ADD[bits]) / ((1 - zeros) * ADD[bits]) for bits in (8, 32)}
        yield FIGURE.row("conversion", reproduced=gains[8], percent=100 * zeros, end=end, wide=gains[32])


def _neuron_operations(workload: Workload) -> Iterator[Row]:
    """Shifts, comparisons and resets beside the additions of the convolutions."""
    layers, steps = flops(workload), workload.timesteps
    additions = sum(layer.snn for layer in layers if not layer.analog)
    outputs = sum(op.products().m * op.products().n * op.products().groups for op in workload.graph.weighted)
    for bits in (8, 32):
        parts = {"left shifts": SHIFT, "comparisons": COMPARE, "resets": ADD}
        bill = {name: outputs * steps * prices[bits] for name, prices in parts.items()}
        total = additions * ADD[bits] + sum(bill.values())
        for name, pj in bill.items():
            yield FIGURE.row("neuron", reproduced=100 * pj / total, name=workload.name, operations=name, bits=bits)


def _machines(bench: Bench, name: str) -> Iterator[Row]:
    workload = bench.workload(name)
    for ops in ("45nm_int32", "45nm_int8", "45nm_fp32"):
        claim = estimate(workload, ops=ops)
        gain, table = claim.ann_energy_pj / claim.energy_pj, claim.details["source"]
        yield FIGURE.row("estimate", reproduced=gain, name=name, t=workload.timesteps, ops=ops, table=table)
    for pair in PAIRS:
        ann, snn = bench.run(workload, pair.ann, as_ann=True), bench.run(workload, pair.snn)
        names: dict[str, Any] = {
            "name": name,
            "t": workload.timesteps,
            "pair": pair.name,
            "snn": pair.snn,
            "ann": pair.ann,
        }
        yield FIGURE.row("machine", physical=ann.energy_pj / snn.energy_pj, **names)


def _draw(rows: list[Row], path: Path | None = None) -> Figure:
    figure = new_figure(8.5, 3.8)
    axes = figure.subplots()
    columns = [
        ("ANN over SNN energy, estimate 45nm_int32", "estimate, 32-bit integers", "#9ecae1"),
        ("ANN over SNN energy, estimate 45nm_fp32", "estimate, 32-bit floats", "#6baed6"),
        ("ANN over SNN energy, estimate 45nm_int8", "estimate, 8-bit integers", "#0072B2"),
        ("ANN over SNN energy, systolic", "machine, systolic", "#009E73"),
        ("ANN over SNN energy, crossbar", "machine, crossbar", "#D55E00"),
    ]
    for index, (column, label, colour) in enumerate(columns):
        values = [
            (line.reproduced if line.reproduced is not None else line.physical) or 0.0
            for name in WORKLOADS
            for line in rows
            if line.column == column and line.item.startswith(name)
        ]
        places = [place + (index - 2) * 0.16 for place in range(len(values))]
        # Bars grow from 1, where neither is better: up where the SNN needs less, down where the ANN does.
        bars = axes.bar(places, [value - 1 for value in values], 0.15, bottom=1, color=colour, label=label)
        axes.bar_label(bars, [f"{value:.2g}" for value in values], fontsize=7, padding=1.5)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_xticks(range(len(WORKLOADS)), WORKLOADS)
    axes.set_ylabel("ANN energy / SNN energy")
    axes.set_title("What arithmetic promises, and what machines keep")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["1/2", "1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run)
