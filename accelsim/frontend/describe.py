"""From the call sites of a run to the layers of a workload: which stay, in which order, under which names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelsim.frontend.axes import merged, natural
from accelsim.frontend.classify import MAX_LEVELS, common_step
from accelsim.frontend.sites import WEIGHTED, Operand, Site

Layer = dict[str, Any]
_DEFAULTS: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "ceil_mode": False}


@dataclass
class Layers:
    """Workload layers in order, and what the sites among them are called."""

    layers: list[Layer] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    """Layer name by the identity of its site."""
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
        names.names[id(site)] = name
    return names


def _wanted_name(site: Site) -> str:
    """The module path; the operation's own word where the path belongs to a container or starts with a digit."""
    word = {"conv2d": "conv", "avgpool2d": "avgpool", "maxpool2d": "maxpool"}.get(site.kind, site.kind)
    if site.kind == "opaque":
        word = re.sub(r"[^A-Za-z0-9_]+", "_", site.does).strip("_") or "opaque"
        return f"{site.path}.{word}" if site.path and not site.path[0].isdigit() else word
    if not site.path:
        return word
    own = site.module is not None or site.kind not in ("matmul", "add", "neuron")
    path = site.path if own else f"{site.path}.{word}"
    clean = re.sub(r"[^A-Za-z0-9_./-]", "_", path)
    return clean if re.match(r"[A-Za-z_]", clean) else f"{word}_{clean}"


def _fields(site: Site, states: dict[int, str], name: str, names: Layers) -> dict[str, Any]:
    if site.kind == "neuron":
        return _neuron_fields(site, states, name, names)
    fields = {key: value for key, value in site.fields.items() if key != "inner"}
    if site.kind in ("avgpool2d", "maxpool2d") and fields.get("stride") == fields["kernel"]:
        del fields["stride"]
    if site.kind in ("conv2d", "linear") and site.bias is None:
        fields["bias"] = False
    if site.kind == "matmul" and not fields["transpose_b"]:
        del fields["transpose_b"]
    return fields


def _neuron_fields(site: Site, states: dict[int, str], name: str, names: Layers) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if site.neuron is None:
        names.remarks.append(
            f"'{name}' fires, but nothing tells its parameters; the workload's default neuron record stands for them"
        )
    else:
        fields = {key: value for key, value in site.neuron.fields.items() if value is not None}
        names.remarks += [f"'{name}': {remark}" for remark in site.neuron.remarks]
    step = spike_step(site)
    assert step is not None
    largest = max((round(level / step) for level in site.outputs), default=1)
    fields.pop("max_spikes", None)
    if largest > 1:
        fields["max_spikes"] = largest
    if site.module is not None and site.own_state:
        owner = states.setdefault(id(site.module), name)
        if owner != name:
            fields["shares_state_with"] = owner
    return fields


# --- connecting a site to what it reads ---------------------------------------------------------------------


def connected(names: Layers, operand: Operand, *, any_shape: bool = False) -> str:
    """The name of the layer that yields the operand as its reader wants it; a view is put between where needed."""
    site = operand.site
    if site.kind == "input":
        source = "input"
    elif id(site) in names.names:
        source = names.names[id(site)]
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
        len(site.axes) == 3
        and len(shape) == 2
        and list(operand.dims) == [natural(site.axes[1:]), natural(site.axes[:1])]
    ):
        return names.add(names.name(f"{stem}.tokens"), "tokens", [source])
    own = {id(axis) for axis in site.axes}
    parts = [part for dim in operand.dims for part in dim]
    if math.prod(shape) == math.prod(site.shape) and all(id(part.axis) in own for part in parts):
        return names.add(names.name(f"{stem}.view"), "view", [source], out_shape=shape)
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
