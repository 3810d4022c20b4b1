"""`from_nir`: a network in the Neuromorphic Intermediate Representation becomes a bundle."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from accelsim.errors import InputError, Problem
from accelsim.frontend.nir_nodes import Discretization, NeuronNode, Steps, conv_fields, neuron_node, pair
from accelsim.workload.bundle import Bundle
from accelsim.workload.nirdata import import_nir

SPIKING = ("LIF", "IF", "CubaLIF", "Threshold")
READOUTS = ("LI", "I", "CubaLI")
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
    encoding: Literal["direct", "analog", "rate", "ttfs", "events"] | None = None,
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
        plain = activity.detach().cpu() if hasattr(activity, "detach") else activity
        inputs = np.asarray(plain, dtype=np.float32)
        return _run(network, description, inputs, encoding, notes)
    density: Any = dict(activity) if isinstance(activity, Mapping) else activity
    if isinstance(density, Sequence):
        density = [float(value) for value in density]
    return Bundle.of(
        description, weights=network.weights, density=density, samples={}, source="stated with from_nir", notes=notes
    )


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
    allowed = {"discretization": ("euler", "exp"), "reset": ("hard", "soft"), "compare": (">=", ">")}
    allowed["reset_order"] = ("same_step", "next_step")
    found = {"discretization": discretization, "reset": reset, "compare": compare, "reset_order": reset_order}
    for key, value in found.items():
        if value not in allowed[key]:
            raise InputError(Problem(f"found '{value}', allowed: {', '.join(allowed[key])}", where=key))
    if not dt > 0:
        raise InputError(Problem(f"found {dt}, must be greater than 0", where="dt"))
    graph = path if isinstance(path, module.NIRGraph) else _read(module, Path(path))
    label = name or (Path(path).stem if isinstance(path, str | Path) else "nir")
    return _Importer(graph, label, Steps(dt, discretization, reset, reset_order, compare)).network


def _read(module: Any, path: Path) -> Any:
    if not path.is_file():
        raise InputError(Problem("no such file", str(path)))
    try:
        # Its own type check refuses correct files: it computes wrong shapes for kernels that are not square.
        return module.read(str(path), type_check=False)
    except Exception as error:  # h5py and nir raise whatever the damage makes them stumble over
        raise InputError(Problem(f"not a readable NIR file: {error}", str(path))) from None


class _Importer:
    """Walks a graph in computing order."""

    def __init__(self, graph: Any, name: str, steps: Steps) -> None:
        self.steps = steps
        self.nodes, self.edges = _flat(graph)
        inputs = [key for key, node in self.nodes.items() if type(node).__name__ == "Input"]
        if len(inputs) != 1:
            raise InputError(Problem(f"expected one Input node, found {len(inputs)}", name))
        shape = tuple(int(size) for size in np.asarray(self.nodes[inputs[0]].input_type["input"]).reshape(-1))
        self.network = NirNetwork(name, shape)
        self.shapes: dict[str, tuple[int, ...]] = {inputs[0]: shape}
        self.sources: dict[str, str] = {inputs[0]: "input"}
        """Layer that yields a node's output."""
        self.scales: dict[str, float] = {inputs[0]: 1.0}
        """Factor between a node's output and its layer's (sum pooling is average pooling times k^2)."""
        for key in self._order():
            if key not in self.sources:
                self._add(key, self.nodes[key])

    def _order(self) -> list[str]:
        before: dict[str, set[str]] = {key: set() for key in self.nodes}
        for source, target in self.edges:
            before[target].add(source)
        order: list[str] = []
        while before:
            ready = [key for key, sources in before.items() if not sources]
            if not ready:
                raise InputError(
                    Problem(
                        f"recurrent connections among {', '.join(sorted(before))}: a workload computes layers in order",
                        self.network.name,
                    )
                )
            order += ready
            before = {key: sources - set(ready) for key, sources in before.items() if key not in ready}
        return order

    def _layer(self, key: str, op: str, inputs: list[str], **fields: Any) -> str:
        name = _clean(key, {layer["name"] for layer in self.network.layers})
        self.network.layers.append({"name": name, "op": op, "inputs": inputs, **fields})
        return name

    def _add(self, key: str, node: Any) -> None:
        kind = "Output" if isinstance(node, _Passage) else type(node).__name__
        entering = [source for source, target in self.edges if target == key]
        if not entering:
            raise InputError(Problem(f"the {kind} node has no input", where=key))
        missing = [source for source in entering if source not in self.sources]
        if missing:  # behind a readout
            if kind in ("Output", *READOUTS):
                return
            raise InputError(Problem(f"it reads '{missing[0]}', whose output is a membrane, not spikes", where=key))
        source, shape, scale = self._joined(key, entering)
        handler = getattr(self, f"_{kind.lower()}", None)
        if kind in SPIKING:
            handler = self._neuron
        elif kind in READOUTS:
            self.network.remarks.append(f"'{key}' ({kind}) reads out membranes without spikes; it is left out")
            return
        if handler is None:
            raise InputError(Problem(f"a workload has no layer for a {kind} node", where=key))
        layer, out_shape, factor = handler(key, node, source, shape, scale)
        self.sources[key], self.shapes[key], self.scales[key] = layer, out_shape, factor

    def _joined(self, key: str, entering: list[str]) -> tuple[str, tuple[int, ...], float]:
        """The input of a node; several edges into one node are a sum."""
        shapes, scales = {self.shapes[name] for name in entering}, {self.scales[name] for name in entering}
        if len(shapes) > 1 or len(scales) > 1:
            shown = ", ".join(f"{name} {list(self.shapes[name])}" for name in entering)
            raise InputError(Problem(f"its inputs cannot be added: {shown}", where=key))
        source = self.sources[entering[0]]
        if len(entering) > 1:
            source = self._layer(f"{key}.add", "add", [self.sources[name] for name in entering])
        return source, shapes.pop(), scales.pop()

    # --- nodes: (layer name, output shape, factor of the output) ------------------------------------------

    def _output(self, key: str, node: Any, source: str, shape: Any, scale: float) -> Any:
        return source, shape, scale

    def _conv2d(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        fields = conv_fields(key, node)
        if len(shape) != 3:
            raise InputError(Problem(f"needs an input of [channels, height, width], found {list(shape)}", where=key))
        sizes = [
            (
                shape[axis + 1]
                + 2 * fields["padding"][axis]
                - fields["dilation"][axis] * (fields["kernel"][axis] - 1)
                - 1
            )
            // fields["stride"][axis]
            + 1
            for axis in (0, 1)
        ]
        name = self._layer(key, "conv2d", [source], **fields)
        weight = np.asarray(node.weight, dtype=np.float64) * scale
        self._store(name, weight[:, :, None] if weight.ndim == 3 else weight, node.bias)
        return name, (fields["out_channels"], *sizes), 1.0

    def _conv1d(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        if len(shape) == 2:  # seen as maps of one row from here on
            shape = (shape[0], 1, shape[1])
            source = self._layer(f"{key}.view", "view", [source], out_shape=list(shape), in_order=True)
        return self._conv2d(key, node, source, shape, scale)

    def _affine(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        weight = np.asarray(node.weight, dtype=np.float64)
        bias = getattr(node, "bias", None)
        if len(shape) > 1 and math.prod(shape) == weight.shape[1] != shape[-1]:
            source, shape = self._layer(f"{key}.flatten", "flatten", [source]), (math.prod(shape),)
        if weight.ndim != 2 or shape[-1] != weight.shape[1]:
            raise InputError(Problem(f"weights {list(weight.shape)} do not fit an input {list(shape)}", where=key))
        name = self._layer(key, "linear", [source], out_features=int(weight.shape[0]), bias=bias is not None)
        self._store(name, weight * scale, bias)
        return name, (*shape[:-1], int(weight.shape[0])), 1.0

    _linear = _affine

    def _store(self, name: str, weight: npt.NDArray[Any], bias: Any) -> None:
        self.network.weights[f"{name}.weight"] = weight.astype(np.float32)
        if bias is not None:
            self.network.weights[f"{name}.bias"] = np.asarray(bias, dtype=np.float32)

    def _scale(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        factors = np.asarray(node.scale)
        if factors.min() != factors.max():
            raise InputError(Problem("a different factor for each element; no layer has that", where=key))
        return source, shape, scale * float(factors.reshape(-1)[0])

    def _avgpool2d(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        kernel, stride, padding = pair(node.kernel_size), pair(node.stride), pair(node.padding)
        if len(shape) != 3:
            raise InputError(Problem(f"needs an input of [channels, height, width], found {list(shape)}", where=key))
        sizes = [(shape[axis + 1] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1 for axis in (0, 1)]
        fields = {"kernel": list(kernel), "stride": list(stride), "padding": list(padding)}
        return self._layer(key, "avgpool2d", [source], **fields), (shape[0], *sizes), scale

    def _sumpool2d(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        name, out, _ = self._avgpool2d(key, node, source, shape, scale)
        return name, out, scale * math.prod(pair(node.kernel_size))

    def _flatten(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        start, end = int(node.start_dim) % len(shape), int(node.end_dim) % len(shape)
        merged = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
        if len(merged) == 1:
            return self._layer(key, "flatten", [source]), merged, scale
        return self._layer(key, "view", [source], out_shape=list(merged), in_order=True), merged, scale

    def _neuron(self, key: str, node: Any, source: str, shape: tuple[int, ...], scale: float) -> Any:
        neuron = neuron_node(key, node, self.steps)
        self.network.neurons.append(neuron)
        self.network.remarks += neuron.remarks
        if np.any(neuron.offset):
            self._add_current(key, source, neuron.offset, shape)
        fields = dict(neuron.fields)
        if scale != 1.0:
            fields["input_gain"] = fields.get("input_gain", 1.0) * scale
        return self._layer(key, "neuron", [source], **fields), shape, 1.0

    def _add_current(self, key: str, source: str, offset: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
        """v_leak acts like a constant current; it goes into the bias before it."""
        layer = next((layer for layer in self.network.layers if layer["name"] == source), None)
        if layer is None or layer["op"] not in ("conv2d", "linear"):
            raise InputError(Problem("v_leak is not 0 and no weighted layer stands right before it", where=key))
        full = np.broadcast_to(offset, shape)
        channels = full.reshape(shape[0], -1) if layer["op"] == "conv2d" else full.reshape(-1, shape[-1]).T
        if not np.allclose(channels, channels[:, :1]):
            raise InputError(Problem("v_leak differs within a channel; no bias can hold that", where=key))
        name = f"{source}.bias"
        bias = self.network.weights.get(name, np.zeros(len(channels), dtype=np.float32))
        self.network.weights[name] = (bias + channels[:, 0]).astype(np.float32)
        layer["bias"] = True


def _flat(graph: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges of a graph with its subgraphs put in place."""
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    entries: dict[str, str] = {}
    exits: dict[str, str] = {}
    for name, node in graph.nodes.items():
        if type(node).__name__ != "NIRGraph":
            nodes[name] = node
            continue
        inner, inner_edges = _flat(node)
        for key, part in inner.items():
            if type(part).__name__ == "Input":
                entries[name] = f"{name}.{key}"
                part = _Passage()
            elif type(part).__name__ == "Output":
                exits[name] = f"{name}.{key}"
                part = _Passage()
            nodes[f"{name}.{key}"] = part
        edges += [(f"{name}.{a}", f"{name}.{b}") for a, b in inner_edges]
    # a subgraph's own edges are already there; those of this graph meet its entry and exit
    edges += [(exits.get(a, a), entries.get(b, b)) for a, b in graph.edges]
    return nodes, list(dict.fromkeys(edges))


class _Passage:
    """The entry or exit of a subgraph: hands on what it gets."""


def _clean(key: str, taken: set[str]) -> str:
    """A layer name: NIR allows any text, and frameworks call nodes 0, 1, 2."""
    text = "".join(letter if letter.isalnum() or letter in "_./-" else "_" for letter in key)
    stem = text if text[:1].isalpha() or text[:1] == "_" else f"node_{text}"
    name, number = stem, 2
    while name in taken or name in ("input", "default"):
        name, number = f"{stem}-{number}", number + 1
    return name
