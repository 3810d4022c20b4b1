"""`from_nir`: a network in the Neuromorphic Intermediate Representation becomes a bundle."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.frontend.nir_fields import REQUIRED, NirNode
from accelsim.frontend.nir_nodes import (
    WEIGHT_AXES,
    Discretization,
    NeuronNode,
    Steps,
    bias_of,
    conv_fields,
    layer_name,
    neuron_node,
    pool_fields,
    window_sizes,
)
from accelsim.frontend.nir_order import PASSAGE, computing_order, flat
from accelsim.frontend.nir_source import NirGraph, graph_of, read_graph
from accelsim.workload.bundle import Bundle
from accelsim.workload.kinds import KINDS
from accelsim.workload.kinds.convolution import AXES
from accelsim.workload.nirdata import import_nir
from accelsim.workload.weights import check_numbers

SPIKING = ("LIF", "IF", "CubaLIF", "Threshold")
READOUTS = ("LI", "I", "CubaLI")
Encoding = Literal["direct", "analog", "rate", "ttfs", "events"]
Activity = float | Sequence[float] | Mapping[str, Any] | npt.NDArray[Any]


@dataclass
class NirNetwork:
    """A NIR graph in a workload's terms."""

    name: str
    input_shape: tuple[int, ...]
    layers: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    neurons: list[NeuronNode] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What the file implies once it is cut into timesteps, one line per neuron node."""
        return [str(neuron) for neuron in self.neurons] + self.remarks


def from_nir(
    path: str | Path | Any,
    *,
    dt: float,
    timesteps: int,
    activity: Activity,
    discretization: Discretization = "euler",
    reset: Literal["hard", "soft"] = "hard",
    reset_order: Literal["same_step", "next_step"] = "same_step",
    compare: Literal[">=", ">"] = ">",
    encoding: Encoding | None = None,
    name: str | None = None,
    verbose: bool = True,
) -> Bundle:
    """Read a NIR file, cut it into timesteps and give it an activity.

    NIR holds neither timesteps nor the unit of its time constants, nor how many spikes there are; its neurons
    always reset to a fixed potential and fire above the threshold. So these are to be stated here. A network
    written by snnTorch with soft reset needs ``reset="soft", reset_order="next_step"``; one written by
    SpikingJelly ``compare=">="``; both count in seconds with dt = 1e-4 unless told otherwise.

    Args:
        path: a NIR file, or a `nir.NIRGraph`.
        dt: length of a timestep in the unit of the file's time constants.
        timesteps: T.
        activity: a density (one number, one per timestep, or by operation name), or the network's inputs,
            an array of [N, ...] or [T, N, ...], on which it is run.
        discretization: "euler" (decay 1 - dt/tau, what the exporters of snnTorch and SpikingJelly mean) or
            "exp" (decay exp(-dt/tau)).
        reset: "hard" as the file says, or "soft" where the exporter could not say so.
        reset_order: "next_step" where a reset takes effect one timestep late (snnTorch).
        compare: whether a membrane exactly at the threshold fires (">=", SpikingJelly) or not (NIR).
        encoding: of the input; by default told from the inputs, "rate" where there are none.
        name: of the workload; the file's name by default.
        verbose: print the decay of every neuron node to stderr.

    Raises:
        InputError: no package nir, an unreadable file, a node or a feedback loop that a workload cannot
            describe, a decay outside [0, 1), or an activity that does not fit.
    """
    verbose = options.flag(verbose, "verbose")
    if encoding is not None:
        options.choice(encoding, get_args(Encoding), "encoding")
    network = describe_nir(
        path, dt=dt, discretization=discretization, reset=reset, reset_order=reset_order, compare=compare, name=name
    )
    if verbose:
        print("\n".join(network.lines()), file=sys.stderr)
    description: dict[str, Any] = {
        "format": "accelsim.workload/1",
        "name": network.name,
        "source": f"NIR, dt {dt:g}, {discretization}, {reset} reset",
        "timesteps": timesteps,
        "input": {"shape": list(network.input_shape), "encoding": encoding or "rate"},
        "layers": network.layers,
    }
    notes = tuple(network.lines())
    if isinstance(activity, np.ndarray) or hasattr(activity, "detach"):
        return _run(network, description, _inputs(activity), encoding, notes)
    density: Any = dict(activity) if isinstance(activity, Mapping) else activity
    if isinstance(density, np.number):
        density = density.item()
    elif isinstance(density, Sequence) and not isinstance(density, str):
        density = [value.item() if isinstance(value, np.number) else value for value in density]
    return Bundle.of(
        description, weights=network.weights, density=density, samples={}, source="stated with from_nir", notes=notes
    )


def _inputs(activity: Any) -> npt.NDArray[np.float32]:
    try:
        inputs = np.asarray(activity.detach().cpu() if hasattr(activity, "detach") else activity)
    except Exception as error:  # a tensor without values, or what only looks like a tensor
        raise InputError(Problem(f"expected an array of numbers, found {error}", where="activity")) from None
    check_numbers("activity", inputs)
    return inputs.astype(np.float32)


def _run(
    network: NirNetwork,
    description: dict[str, Any],
    inputs: npt.NDArray[Any],
    encoding: str | None,
    notes: tuple[str, ...],
) -> Bundle:
    from accelsim.frontend.replaying import replay  # the one part of this module that needs torch
    from accelsim.workload.load import resolve_workload

    if any(neuron.type == "CubaLIF" for neuron in network.neurons):
        raise InputError(
            Problem("a CubaLIF node has a synaptic current that is not run; give a density as activity", network.name)
        )
    rank = len(network.input_shape)
    static = inputs.ndim == rank + 1
    description["input"]["encoding"] = encoding or _encoding(inputs, static)
    workload = resolve_workload({**description, "activity": {"density": 1.0}})
    result = replay(workload, network.weights, inputs)
    return Bundle.of(
        description,
        weights=network.weights,
        trace=result.trace,
        samples={"inputs": inputs, "logits": result.outputs},
        source="measured: a run of the NIR graph",
        notes=notes,
    )


def _encoding(inputs: npt.NDArray[Any], static: bool) -> str:
    if static:
        return "direct"
    levels = set(np.unique(np.sign(inputs)).tolist())
    two_valued = len(np.unique(np.abs(inputs[inputs != 0]))) <= 1
    if two_valued:
        return "events" if -1 in levels else "rate"
    return "analog"


def describe_nir(
    path: str | Path | Any,
    *,
    dt: float,
    discretization: Discretization = "euler",
    reset: Literal["hard", "soft"] = "hard",
    reset_order: Literal["same_step", "next_step"] = "same_step",
    compare: Literal[">=", ">"] = ">",
    name: str | None = None,
) -> NirNetwork:
    """Read a NIR file into layers, weights and neurons; arguments as for `from_nir`.

    Raises:
        InputError: as for `from_nir`.
    """
    module = import_nir()
    options.choice(discretization, get_args(Discretization), "discretization")
    options.choice(reset, ("hard", "soft"), "reset")
    options.choice(reset_order, ("same_step", "next_step"), "reset_order")
    options.choice(compare, (">=", ">"), "compare")
    steps = Steps(options.figure(dt, "dt", above=0), discretization, reset, reset_order, compare)
    if name is not None:
        name = options.text(name, "name")
    if isinstance(path, module.NIRGraph):
        return _Importer(graph_of(path), name or "nir", steps).network
    if not isinstance(path, str | Path):
        message = f"expected a path or a nir.NIRGraph, found {type(path).__name__}"
        raise InputError(Problem(message, where="path"))
    file = options.path(path, "path")
    try:
        return _Importer(read_graph(file), name or file.stem, steps).network
    except InputError as error:
        raise InputError(Problem(one.message, str(file), where=one.where) for one in error.problems) from None


class _Importer:
    """Walks a graph in computing order."""

    def __init__(self, graph: NirGraph, name: str, steps: Steps) -> None:
        self.steps = steps
        self.nodes, edges = flat(graph)
        inputs = [key for key, node in self.nodes.items() if node.type == "Input"]
        if len(inputs) != 1:
            shown = f" ({', '.join(inputs[:8])})" if inputs else ""
            raise InputError(Problem(f"expected one Input node, found {len(inputs)}{shown}", where="nodes"))
        shape = self.nodes[inputs[0]].shape("shape", 1, 3)
        self.network = NirNetwork(name, shape)
        self.shapes: dict[str, tuple[int, ...]] = {inputs[0]: shape}
        self.sources: dict[str, str] = {inputs[0]: "input"}
        """Layer that yields a node's output."""
        self.scales: dict[str, float] = {inputs[0]: 1.0}
        """Factor between a node's output and its layer's (sum pooling is average pooling times k^2)."""
        self.entering: dict[str, list[str]] = {key: [] for key in self.nodes}
        for source, target in edges:
            self.entering[target].append(source)
        self.layers: dict[str, dict[str, Any]] = {}
        for key in computing_order(self.nodes, edges):
            if key not in self.sources:
                self._add(self.nodes[key])
        self._check_factors({source for source, _ in edges})
        if not self.network.layers:
            raise InputError(Problem("no node but Input and Output: there is nothing to compute", where="nodes"))

    def _check_factors(self, feeding: set[str]) -> None:
        """The weights or neurons behind a node take its factor in; at the end of the network there are none."""
        for key, factor in self.scales.items():
            if factor == 1.0 or (key in feeding and self.nodes[key].type != "Output"):
                continue
            while self.nodes[key].type not in ("Scale", "SumPool2d"):
                key = self.entering[key][0]
            message = f"no weights or neurons follow that could hold the factor {factor:.6g} of the network's output"
            raise self.nodes[key].problem(message)

    def _layer(self, key: str, op: str, inputs: list[str], **fields: Any) -> str:
        name = layer_name(key, self.layers)
        self.layers[name] = {"name": name, "op": op, "inputs": inputs, **fields}
        self.network.layers.append(self.layers[name])
        return name

    def _add(self, node: NirNode) -> None:
        key, kind = node.name, node.type
        entering = self.entering[key]
        if not entering:
            raise node.problem(f"the {kind} node has no input")
        missing = [source for source in entering if source not in self.sources]
        if missing:  # behind a readout
            if kind in ("Output", PASSAGE, *READOUTS):
                return
            raise node.problem(f"it reads '{missing[0]}', whose output is a membrane, not spikes")
        source, shape, scale = self._joined(node, entering)
        if kind in READOUTS:
            for field in (*REQUIRED[kind], *(["w_in"] if node.has("w_in") else [])):
                node.per_neuron(field, shape)
            also = f", with the factor {scale:.6g} of what it reads" if scale != 1.0 else ""
            self.network.remarks.append(f"'{key}' ({kind}) reads out membranes without spikes; it is left out{also}")
            return
        handler = getattr(self, "_neuron" if kind in SPIKING else f"_{kind.lower()}", None)
        if handler is None:
            raise node.problem(f"a workload has no layer for a {kind} node")
        layer, out_shape, factor = handler(node, source, shape, scale)
        self.sources[key], self.shapes[key], self.scales[key] = layer, out_shape, factor

    def _joined(self, node: NirNode, entering: list[str]) -> tuple[str, tuple[int, ...], float]:
        """The input of a node; several edges into one node are a sum."""
        shapes, scales = {self.shapes[name] for name in entering}, {self.scales[name] for name in entering}
        if len(shapes) > 1 or len(scales) > 1:
            shown = ", ".join(f"{name} {list(self.shapes[name])}" for name in entering[:8])
            raise node.problem(f"its inputs cannot be added: {shown}")
        source = self.sources[entering[0]]
        if len(entering) > 1:
            source = self._layer(f"{node.name}.add", "add", [self.sources[name] for name in entering])
        return source, shapes.pop(), scales.pop()

    # --- nodes: (layer name, output shape, factor of the output) ------------------------------------------

    def _output(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        return source, shape, scale

    _passage = _output

    def _conv2d(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        fields = conv_fields(node)
        axes = len(fields["kernel"])
        if len(shape) != 1 + axes:
            raise node.problem(f"needs an input of [channels, {AXES[axes][1:]}, found {list(shape)}")
        weight = node.numbers("weight") * scale
        if weight.shape[1] * fields["groups"] != shape[0]:
            message = f"weights {list(weight.shape)} in {fields['groups']} groups do not fit an input {list(shape)}"
            raise node.problem(message, "weight")
        sizes = window_sizes(node, shape[1:], fields)
        name = self._layer(node.name, f"conv{axes}d", [source], **fields)
        self._store(node, name, weight)
        return name, (fields["out_channels"], *sizes), 1.0

    _conv1d = _conv2d

    def _affine(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        weight = node.numbers("weight", WEIGHT_AXES[node.type])
        if len(shape) > 1 and math.prod(shape) == weight.shape[1] != shape[-1]:
            source, shape = self._layer(f"{node.name}.flatten", "flatten", [source]), (math.prod(shape),)
        if shape[-1] != weight.shape[1]:
            raise node.problem(f"weights {list(weight.shape)} do not fit an input {list(shape)}", "weight")
        outputs = int(weight.shape[0])
        bias = bias_of(node, outputs) is not None
        name = self._layer(node.name, "linear", [source], out_features=outputs, bias=bias)
        self._store(node, name, weight * scale)
        return name, (*shape[:-1], outputs), 1.0

    _linear = _affine

    def _store(self, node: NirNode, name: str, weight: npt.NDArray[Any]) -> None:
        check_numbers(f"nodes.{node.name}.weight", weight)  # with the factors of the nodes before it
        self.network.weights[f"{name}.weight"] = weight.astype(np.float32)
        bias = bias_of(node, len(weight))
        if bias is not None:
            self.network.weights[f"{name}.bias"] = bias.astype(np.float32)

    def _scale(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        factors = node.per_neuron("scale", shape)
        if factors.min() != factors.max():
            raise node.problem("a different factor for each element; no layer has that", "scale")
        scale *= float(factors.reshape(-1)[0])
        check_numbers(f"nodes.{node.name}.scale", np.asarray(scale))
        return source, shape, scale

    def _avgpool2d(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        fields = pool_fields(node)
        if len(shape) != 3:
            raise node.problem(f"needs an input of [channels, height, width], found {list(shape)}")
        sizes = window_sizes(node, shape[1:], fields)
        return self._layer(node.name, "avgpool2d", [source], **fields), (shape[0], *sizes), scale

    def _sumpool2d(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        name, out, _ = self._avgpool2d(node, source, shape, scale)
        return name, out, scale * math.prod(node.sizes("kernel_size", 1))

    def _flatten(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        rank = len(shape)
        start, end = (self._axis(node, field, rank) for field in ("start_dim", "end_dim"))
        if start > end:
            raise node.problem(f"axis {end} of {rank} lies before start_dim, axis {start}", "end_dim")
        merged = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
        if len(merged) == 1:
            return self._layer(node.name, "flatten", [source]), merged, scale
        return self._layer(node.name, "view", [source], out_shape=list(merged), in_order=True), merged, scale

    def _axis(self, node: NirNode, field: str, rank: int) -> int:
        axis = node.one(field, -rank)
        if axis >= rank:
            raise node.problem(f"found {axis}, the input has {rank} axes", field)
        return axis % rank

    def _neuron(self, node: NirNode, source: str, shape: tuple[int, ...], scale: float) -> Any:
        neuron = neuron_node(node, shape, self.steps)
        self.network.neurons.append(neuron)
        self.network.remarks += neuron.remarks
        if np.any(neuron.offset):
            self._add_current(node, source, neuron.offset, shape)
        fields = dict(neuron.fields)
        if scale != 1.0:
            fields["input_gain"] = fields.get("input_gain", 1.0) * scale
        return self._layer(node.name, "neuron", [source], **fields), shape, 1.0

    def _add_current(self, node: NirNode, source: str, offset: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
        """v_leak acts like a constant current; it goes into the bias before it."""
        layer = self.layers.get(source)
        if layer is None or layer["op"] not in KINDS:
            raise node.problem("v_leak is not 0 and no weighted layer stands right before it", "v_leak")
        full = np.broadcast_to(offset, shape)
        axis = 0 if KINDS[layer["op"]].channels_first else -1
        channels = np.moveaxis(full, axis, 0).reshape(shape[axis], -1)
        if not np.allclose(channels, channels[:, :1]):
            raise node.problem("v_leak differs within a channel; no bias can hold that", "v_leak")
        name = f"{source}.bias"
        bias = self.network.weights.get(name, np.zeros(len(channels), dtype=np.float32)) + channels[:, 0]
        check_numbers(f"nodes.{node.name}.v_leak", bias)
        self.network.weights[name] = bias.astype(np.float32)
        layer["bias"] = True
