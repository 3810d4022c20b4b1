"""What is known of a network while it runs: the values of its tensors, its call sites, and the inputs recorded there.

`Recorder` watches the run and calls the handlers of operations, which write down here what they find.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from accelsim.core.effort import Rest
from accelsim.frontend.axes import Axis, Dim, Layout, Part, has, whole
from accelsim.frontend.classify import Chunk, compact
from accelsim.frontend.looking import arranged
from accelsim.frontend.neurons import NeuronRecord
from accelsim.frontend.sites import (
    WEIGHTED,
    Norm,
    Operand,
    Recording,
    Site,
    Use,
    Value,
    feature_dims,
    renewed,
)
from accelsim.frontend.verifying import picked


@dataclass
class Call:
    """One module call in progress."""

    module: nn.Module
    path: str
    neuron: NeuronRecord | None
    recorded: int
    arguments: tuple[Any, ...] = field(default=(), repr=False)


class Bookkeeping:
    """Call sites, values and recorded inputs of one run.

    Args:
        layout: axes of the network's input, e.g. ("T", "N"), ("N", "T") or ("N",).
        timesteps: T, where it is known beforehand.
        stepwise: whether each call of the network is one timestep, told apart by `step`.
        images: keep only the first of them; None for all.
        probing: look for loops over time inside neurons, too.
    """

    def __init__(
        self, layout: tuple[str, ...], timesteps: int | None, *, stepwise: bool, images: int | None, probing: bool
    ) -> None:
        self.layout = layout
        self.stepwise = stepwise
        self.images = images
        self.probing = probing
        self.time = Axis("T", timesteps or 0)
        self.batch = Axis("N", 0)
        self.steps = 0
        self.rest: Rest | None = None
        """Where the timesteps are the calls, and their number is known."""
        self.sites: dict[Hashable, Site] = {}
        self.input: Site | None = None
        self.missed: Counter[str] = Counter()
        """MACs per image of what was not captured, by description."""
        self.constant: dict[str, str] = {}
        """Module path of those of them that nothing known entered."""
        self.remarks: list[str] = []
        self.iterates_time = False
        self.fired: dict[int, Value] = {}
        """By token of a membrane: the spikes already derived from it."""
        self.unbiased: set[int] = set()
        """Tokens of the products of linear layers that got no bias (yet)."""
        self.norms: dict[Any, Norm] = {}
        """Batch-norms already met, by their tensors."""
        self.outputs: list[Any] = []
        # Tensors hash by identity here, and what is known of them goes when they go (Any: torch leaves it untyped).
        self._values: Any = WeakIdKeyDictionary()
        self._chunks: Any = WeakIdKeyDictionary()
        self.random: Any = WeakIdKeyDictionary()
        """Tensors that were drawn at random."""
        self.filling: Any = WeakIdKeyDictionary()
        """Tensors that a loop over time fills, each with its timesteps so far."""
        self._tokens = itertools.count()
        self._seen: Counter[Hashable] = Counter()
        self.calls: list[Call] = []
        """Module calls in progress, the innermost last."""
        self.recorded = 0
        """Inputs of weighted sites kept so far."""

    def settle(self) -> None:
        """Copy the weights that still are the model's own memory, before the user goes on with it."""
        for site in self.weighted:
            site.weight = None if site.weight is None else site.weight.copy()
            site.bias = None if site.bias is None else site.bias.copy()

    def step(self) -> None:
        """The timestep is over."""
        self.steps += 1
        if self.rest is not None:
            self.rest.done()
        self._seen.clear()

    @property
    def weighted(self) -> list[Site]:
        """The weighted sites, in the order in which they were met."""
        return [site for site in self.sites.values() if site.kind in WEIGHTED]

    # --- values -----------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Dotted path of the innermost module at work."""
        return self.calls[-1].path if self.calls else ""

    @property
    def lead(self) -> tuple[Axis, Axis]:
        """The axes that are no features."""
        return self.time, self.batch

    def value(self, tensor: Any) -> Value | None:
        """What is known of a tensor."""
        found: Value | None = self._values.get(tensor) if isinstance(tensor, Tensor) else None
        return found

    def tracked(self, args: Sequence[Any]) -> Iterator[tuple[Tensor, Value]]:
        """The known tensors among the arguments, lists of tensors included."""
        for tensor in tensors_of(args):
            value = self.value(tensor)
            if value is not None:
                yield tensor, value

    def assign(self, tensor: Any, value: Value | None) -> None:
        """Say what a tensor is; None for nothing that matters."""
        if isinstance(tensor, Tensor):
            if value is None:
                self._values.pop(tensor, None)
            else:
                self._values[tensor] = value

    def keep_spiking(self, tensor: Tensor, value: Value) -> None:
        """Say that a tensor holds spikes if `value`, which it was made of, does."""
        found = self.value(tensor)
        if found is not None and value.spiking:
            self.assign(tensor, replace(found, spiking=True))

    def token(self) -> int:
        """A number for new data."""
        return next(self._tokens)

    def is_random(self, tensor: Any) -> bool:
        """Whether a tensor was drawn at random (the comparison of an image with one is an encoder)."""
        return isinstance(tensor, Tensor) and tensor in self.random

    def is_bias(self, tensor: Tensor) -> bool:
        """Whether a tensor is the bias of the module at work: anything a Linear adds, else by its name."""
        module = self.calls[-1].module if self.calls else None
        if module is None or isinstance(module, nn.Linear):
            return module is not None
        return any(own is tensor and "bias" in name for name, own in module.named_parameters(recurse=False))

    def note_use(self, value: Value) -> None:
        """Note that something reads a value, through its batch-norms (`over_time` makes layers of what differs)."""
        site, every = value.site, has(value.layout, self.time)
        for step, before in enumerate(value.by_step or ((),)):
            chain = (*before, *value.norms)
            site.read_through(chain)
            if value.by_step:
                when: int | None = step
            else:
                when = self.steps if self.stepwise else value.step
            site.uses.append(Use(chain, value.token, when, value.turn, every and when is None))

    # --- sites ------------------------------------------------------------------------------------------

    def locate(self, kind: str, extra: Hashable, roots: Sequence[Site], *, by_turn: bool) -> Site:
        """The site of an operation, made where it is met for the first time.

        With `by_turn`, in a stepwise run, the n-th call from this module in a timestep is one site, which
        stays right when feedback changes the origin of an operand after the first timestep. Otherwise the
        origin of the operands tells calls apart.
        """
        key: Hashable
        if by_turn and self.stepwise:
            place = (self.path, kind, extra)
            key = (*place, self._seen[place])
            self._seen[place] += 1
        else:
            key = (self.path, kind, extra, tuple(id(root) for root in roots))
        site = self.sites.get(key)
        if site is None:
            site = self.sites[key] = Site(kind, self.path, key)
        return site

    def operand(self, value: Value, dims: tuple[Dim, ...], shape: Iterable[int]) -> Operand:
        """An input of a site; notes through which batch-norms the value is read."""
        self.note_use(value)
        return Operand(value.site, dims, tuple(shape), value.altered)

    def elementwise_operand(self, value: Value, shape: Sequence[int]) -> Operand:
        """An input read with the dimensions that the tensor has."""
        dims, sizes = feature_dims(value.layout, shape, self.lead, value.site.shape)
        return self.operand(value, dims, sizes)

    def emit(self, site: Site, tensor: Tensor, layout: Layout, axes: Sequence[Axis], shape: Sequence[int]) -> None:
        """Say that a tensor is the output of a site; a site met before keeps its axes."""
        if not site.axes:
            site.axes, site.shape = tuple(axes), tuple(shape)
        elif len(site.axes) == len(axes):
            known = {id(new): old for new, old in zip(axes, site.axes, strict=True)}
            layout = tuple(tuple(Part(known.get(id(p.axis), p.axis), p.size, p.stride) for p in dim) for dim in layout)
        spiking = site.kind == "neuron"
        turn = len(site.recordings[0].chunks) - 1 if site.recordings else 0
        self.assign(tensor, Value(site, layout, self.token(), spiking, turn=turn))
        if site.kind not in ("neuron", "opaque", "input"):
            self.follow(site, tensor, layout)

    def follow(self, site: Site, tensor: Tensor, layout: Layout, *, corrected: bool = False) -> None:
        """Keep a sample of a site's output; `corrected` by a bias or a batch-norm, in place of the last."""
        if self.probing:
            return
        if corrected:
            del site.followed.currents[-1:]
        site.followed.currents.append(picked(tensor, layout, self.time))

    def emit_like(self, site: Site, tensor: Tensor, layout: Layout) -> None:
        """The output of an element-wise site: the dimensions of its operand, axes of its own."""
        like = site.operands[0].shape if site.operands else ()
        _, sizes = feature_dims(layout, tensor.shape, self.lead, like)
        fresh, axes = renewed(layout, tensor.shape, self.lead, like)
        self.emit(site, tensor, fresh, axes, sizes)

    def guessed(self, tensor: Tensor) -> Layout:
        """A layout from sizes alone, for the output of an operation whose effect on axes is unknown."""
        sizes = list(tensor.shape)
        layout: list[Dim] = []
        time, batch = whole(self.time), whole(self.batch)
        order = (batch, time) if self.layout[:2] == ("N", "T") else (time, batch)
        product = max(self.time.size, 1) * self.batch.size
        if (
            not self.stepwise
            and len(sizes) > 1
            and sizes[0] * sizes[1] == product
            and sizes[0]
            in (
                self.time.size,
                self.batch.size,
            )
        ):
            layout = list(order)
        elif sizes and sizes[0] == self.batch.size:
            layout = [batch]
        elif not self.stepwise and sizes and sizes[0] == product:
            layout = [(*order[0], *order[1])]
        layout += [whole(Axis("f", size)) for size in sizes[len(layout) :]]
        return tuple(layout)

    def opaque(
        self,
        does: str,
        operands: Sequence[Value],
        shapes: Sequence[Sequence[int]],
        outputs: Sequence[Any],
        layouts: Sequence[Layout | None] = (),
    ) -> None:
        """Something that a workload does not describe: its output starts anew, in `layouts` where they are known."""
        roots = [value.site for value in operands]
        for number, tensor in enumerate(outputs):
            if not isinstance(tensor, Tensor) or tensor.dim() == 0:
                continue
            site = self.locate("opaque", (does, number), roots, by_turn=False)
            site.does = does
            site.operands = tuple(
                self.elementwise_operand(value, shape) for value, shape in zip(operands, shapes, strict=True)
            )
            same = layouts[number] if layouts else None
            same = same or next(
                (v.layout for v, s in zip(operands, shapes, strict=True) if tuple(s) == tuple(tensor.shape)), None
            )
            self.emit_like(site, tensor, self.guessed(tensor) if same is None else same)

    # --- recording --------------------------------------------------------------------------------------

    def record(
        self, site: Site, index: int, tensor: Tensor, value: Value, dims: tuple[Dim, ...], shape: Sequence[int]
    ) -> None:
        """Keep an input of a weighted site, [timesteps, images, *shape]."""
        while len(site.recordings) <= index:
            site.recordings.append(Recording())
        recording = site.recordings[index]
        if index == 0:
            self.recorded += 1
        chunk = self._chunk(tensor, value, dims, tuple(shape), site.path)
        last = recording.chunks[-1] if recording.chunks else None
        if last is not None and chunk.kind == last.kind == "real" and np.array_equal(chunk.values(), last.values()):
            chunk = last  # a static frame is kept once
        recording.chunks.append(chunk)
        recording.steps.append(self.steps)

    def _chunk(self, tensor: Tensor, value: Value, dims: tuple[Dim, ...], shape: tuple[int, ...], path: str) -> Chunk:
        wanted = (tensor._version, dims, shape)
        cached = self._chunks.get(tensor)
        if cached is not None and cached[0] == wanted:
            return cached[1]  # type: ignore[no-any-return]
        with torch.utils._python_dispatch._disable_current_modes():
            array = arranged(tensor, value.layout, self.lead, dims, shape).numpy()
        chunk = compact(array[:, : self.images] if self.images else array, path)
        self._chunks[tensor] = (wanted, chunk)
        return chunk

    def miss(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any, *, constant: bool = False) -> None:
        """Count the products of an operation that no site stands for.

        `constant`: nothing known entered it, as at the first timestep of a feedback connection.
        """
        packet = func.overloadpacket
        if packet not in flop_registry:
            return
        try:
            flops = int(flop_registry[packet](*args, **kwargs, out_val=out))
        except Exception:  # the registry's formulas are written for well-formed calls of tensors only
            flops = 0
        label = f"{packet.__name__} in '{self.path}'" if self.path else packet.__name__
        self.missed[label] += flops // 2
        if constant:
            self.constant[label] = self.path


def tensors_of(items: Sequence[Any]) -> Iterator[Tensor]:
    """The tensors among arguments or results, those in lists and tuples included."""
    for item in items:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, list | tuple):
            yield from tensors_of(item)
