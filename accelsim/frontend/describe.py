"""From the call sites of a run to the layers of a workload: which stay, in which order, under which names."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from accelsim.frontend.axes import merged, natural
from accelsim.frontend.classify import MAX_LEVELS, common_step
from accelsim.frontend.sites import WEIGHTED, Operand, Site
from accelsim.frontend.verifying import TOLERATED, Followed, disagreement, fitted

Layer = dict[str, Any]
_DEFAULTS: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "ceil_mode": False}


@dataclass
class Layers:
    """Workload layers in order, and what the sites among them are called."""

    layers: list[Layer] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    """Layer name by the identity of its site."""
    behind: dict[int, str] = field(default_factory=dict)
    """Name of the layer that scales a site's output at each timestep, which its readers read."""
    remarks: list[str] = field(default_factory=list)
    _views: dict[Any, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=lambda: {"input", "default"})

    def name(self, wanted: str) -> str:
        """A free name: the wanted one, or with a number."""
        free = wanted
        number = 2
        while free in self._taken:
            free = f"{wanted}-{number}"
            number += 1
        self._taken.add(free)
        return free

    def add(self, name: str, op: str, inputs: Sequence[str], **fields: Any) -> str:
        """Append a layer."""
        kept = {key: value for key, value in fields.items() if _DEFAULTS.get(key, _MISSING) != value}
        self.layers.append({"name": name, "op": op, "inputs": list(inputs), **kept})
        return name


_MISSING = object()


def emits_spikes(site: Site) -> bool:
    """Whether a neuron site's outputs were spikes: multiples of one step, not membranes."""
    return spike_step(site) is not None


def spike_step(site: Site) -> float | None:
    """The value of one spike of a neuron site; 1 where it never fired, None where its output is real-valued."""
    if not site.outputs:
        return 1.0
    if len(site.outputs) > MAX_LEVELS:
        return None
    return common_step(sorted(site.outputs))


def kept_sites(sites: Iterable[Site]) -> list[Site]:
    """Weighted operations, spiking neurons fed by one, and all that leads to them, in an order that computes.

    Readouts, membrane updates and other dead ends are left out.
    """
    everything = list(sites)
    wanted: set[int] = set()
    stack = [site for site in everything if site.kind in WEIGHTED]
    stack += [site for site in everything if site.kind == "neuron" and emits_spikes(site) and _fed(site, everything)]
    while stack:
        site = stack.pop()
        if id(site) not in wanted:
            wanted.add(id(site))
            stack += [operand.site for operand in site.operands]
    order: list[Site] = []
    state: dict[int, int] = {}

    def visit(site: Site) -> None:
        if id(site) in state:
            return
        state[id(site)] = 1
        for operand in site.operands:
            visit(operand.site)
        state[id(site)] = 2
        order.append(site)

    for site in everything:
        if id(site) in wanted and site.kind != "input":
            visit(site)
    return [site for site in order if site.kind != "input"]


def _fed(site: Site, everything: Sequence[Site]) -> bool:
    """Whether a neuron's input comes from a weighted operation (not a comparison of the logits' softmax)."""
    seen: set[int] = set()
    stack = [operand.site for operand in site.operands]
    while stack:
        source = stack.pop()
        if source.kind in WEIGHTED:
            return True
        if id(source) not in seen and source.kind in ("add", "avgpool2d", "maxpool2d"):
            seen.add(id(source))
            stack += [operand.site for operand in source.operands]
    return False


def describe(sites: Sequence[Site], names: Layers) -> Layers:
    """Write the layers of sites that are in computing order."""
    states: dict[int, str] = {}
    calls = Counter(id(site.module) for site in sites if site.kind == "neuron" and site.module is not None)
    for site in sites:
        name = names.name(_wanted_name(site))
        if site.kind == "opaque" or (site.kind == "neuron" and not emits_spikes(site)):
            inputs = [connected(names, operand, any_shape=True) for operand in site.operands]
            names.add(
                name, "opaque", inputs, does=site.does or "neurons with analog outputs", out_shape=list(site.shape)
            )
        else:
            inputs = [connected(names, operand) for operand in site.operands]
            names.add(name, site.kind, inputs, **_fields(site, states, name, names))
            if calls[id(site.module)] == 1:
                _check(site, names.layers[-1], names)
        names.names[id(site)] = name
        if site.affine is not None:
            scaled = names.name(_clean(site.affine[0], "norm") or f"{name}.time_affine")
            names.behind[id(site)] = names.add(scaled, "time_affine", [name])
    return names


def _wanted_name(site: Site) -> str:
    """The module path; the operation's own word where the path belongs to a container or starts with a digit."""
    word = re.sub("[123]d$", "", site.kind)
    if site.kind == "opaque":
        word = re.sub(r"[^A-Za-z0-9_]+", "_", site.does).strip("_") or "opaque"
        return f"{site.path}.{word}" if site.path and not site.path[0].isdigit() else word
    if not site.path:
        return word
    own = site.module is not None or site.kind not in ("matmul", "add", "neuron")
    path = site.path if own else f"{site.path}.{word}"
    return _clean(path, word)


def _clean(path: str, word: str) -> str:
    """A module path as a layer's name; behind the word where it starts with a digit."""
    clean = re.sub(r"[^A-Za-z0-9_./-]", "_", path)
    return clean if not clean or re.match(r"[A-Za-z_]", clean) else f"{word}_{clean}"


def _fields(site: Site, states: dict[int, str], name: str, names: Layers) -> dict[str, Any]:
    if site.kind == "neuron":
        return _neuron_fields(site, states, name, names)
    fields = {key: value for key, value in site.fields.items() if key != "inner"}
    if site.kind in ("avgpool2d", "maxpool2d") and fields.get("stride") == fields["kernel"]:
        del fields["stride"]
    if site.has_weights and site.bias is None:
        fields["bias"] = False
    if site.kind == "matmul" and not fields["transpose_b"]:
        del fields["transpose_b"]
    return fields


def _neuron_fields(site: Site, states: dict[int, str], name: str, names: Layers) -> dict[str, Any]:
    step = spike_step(site)
    assert step is not None
    largest = max((round(level / step) for level in site.outputs), default=1)
    several = {"max_spikes": largest} if largest > 1 else {}
    fields: dict[str, Any] = {}
    if site.neuron is not None:
        fields = {key: value for key, value in site.neuron.fields.items() if value is not None}
        names.remarks += [f"'{name}': {remark}" for remark in site.neuron.remarks]
        fields.pop("max_spikes", None)
    elif site.module is None:
        fields = _found_out(site, several, step) or {}
    if site.neuron is None:
        stands = "the workload's default neuron record stands for them" if not fields else _tried(fields)
        names.remarks.append(f"'{name}' fires, but nothing tells its parameters; {stands}")
    fields |= several
    if step != 1.0:
        names.remarks.append(
            f"'{name}' emits spikes of {step:.4g}, those of a neuron record are worth 1: the trace holds the scale, a "
            f"replay from the weights would not"
        )
    if site.module is not None and site.own_state:
        owner = states.setdefault(id(site.module), name)
        if owner != name:
            fields["shares_state_with"] = owner
    return fields


def _found_out(site: Site, stated: Layer, step: float) -> Layer | None:
    """The record of a neuron that is no module: one that gives its spikes, of the numbers used around it."""
    source = site.operands[0].site
    compare: Layer = {"gt": {"compare": ">"}, "ge": {"compare": ">="}}.get(site.does.rstrip("_"), {})
    return fitted(
        {**compare, **stated}, source.constants, Followed(source.followed.currents, site.followed.spikes), step
    )


def _check(site: Site, layer: Layer, names: Layers) -> None:
    """Run a neuron's record on the currents that its module got; where it fires otherwise, mend it or say so."""
    step = spike_step(site)
    if site.neuron is None or step is None or not site.followed.currents:
        return
    different = disagreement(layer, site.followed, step)
    if different <= TOLERATED:
        return
    several = {key: layer[key] for key in ("max_spikes",) if key in layer}
    better = fitted(several, _numbers(site.module), site.followed, step) if site.neuron.guessed else None
    if better is None:
        names.remarks.append(
            f"'{layer['name']}': on the same currents its neuron record gives {different:.2%} other values than "
            f"{type(site.module).__name__} does; the trace has the module's spikes, a replay would not"
        )
        return
    for key in site.neuron.fields:
        layer.pop(key, None)
    layer |= better
    names.remarks = [told for told in names.remarks if not told.startswith(f"'{layer['name']}': ")]
    names.remarks.append(
        f"'{layer['name']}': what attributes of {type(site.module).__name__} are called does not say how it fires; "
        f"{_tried(better)}"
    )


def _tried(fields: Layer) -> str:
    known = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in fields.items()
    )
    return f"a record of the numbers used there gives its spikes ({known})"


def _numbers(module: Any) -> Iterator[float]:
    """Single numbers among a module's attributes, parameters and buffers."""
    for value in (*vars(module).values(), *module.parameters(recurse=False), *module.buffers(recurse=False)):
        one = isinstance(value, Tensor) and value.numel() == 1
        if one or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield float(value)


# --- connecting a site to what it reads ---------------------------------------------------------------------


def connected(names: Layers, operand: Operand, *, any_shape: bool = False) -> str:
    """The name of the layer that yields the operand as its reader wants it; a view is put between where needed."""
    site = operand.site
    if site.kind == "input":
        source = "input"
    elif id(site) in names.names:
        source = names.behind.get(id(site), names.names[id(site)])
    else:
        return _delayed(names, site)
    own, wanted = merged(natural(site.axes)), merged(part for dim in operand.dims for part in dim)
    shape = list(operand.shape)
    if any_shape or (own == wanted and shape == list(site.shape)):
        return source
    key = (source, wanted, tuple(shape))
    if key not in names._views:
        names._views[key] = _rearranged(names, operand, source, in_order=own == wanted)
    return names._views[key]


def _rearranged(names: Layers, operand: Operand, source: str, *, in_order: bool) -> str:
    site, shape = operand.site, list(operand.shape)
    stem = "input" if source == "input" else source
    if in_order and len(shape) == 1:
        return names.add(names.name(f"{stem}.flatten"), "flatten", [source])
    if (
        len(site.axes) > 1
        and len(shape) == 2
        and list(operand.dims) == [natural(site.axes[1:]), natural(site.axes[:1])]
    ):
        return names.add(names.name(f"{stem}.tokens"), "tokens", [source])
    own = {id(axis) for axis in site.axes}
    parts = [part for dim in operand.dims for part in dim]
    if math.prod(shape) == math.prod(site.shape) and all(id(part.axis) in own for part in parts):
        order = {"in_order": True} if in_order else {}
        return names.add(names.name(f"{stem}.view"), "view", [source], out_shape=shape, **order)
    return names.add(names.name(f"{stem}.repeat"), "opaque", [source], does="repeat", out_shape=shape)


def _delayed(names: Layers, site: Site) -> str:
    """Feedback: a layer that comes later, seen one timestep earlier."""
    label = _wanted_name(site)
    key = ("delayed", id(site))
    if key not in names._views:
        names.remarks.append(f"feedback from '{label}' is described as a delay of one timestep")
        does = f"output of {label} one timestep earlier"
        names._views[key] = names.add(
            names.name(f"{label}.delayed"), "opaque", [], does=does, out_shape=list(site.shape)
        )
    return names._views[key]
