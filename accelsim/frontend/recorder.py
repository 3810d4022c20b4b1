"""Watches a network run: every aten operation, and the module inside which it happens.

Operations are caught below autograd (`TorchDispatchMode`), where `q @ k.T`, a residual `+` and a functional
convolution look like any other; global module hooks give the dotted path of the module that called them, and
let a known neuron module count as one operation whatever it does inside. Nothing is attached to the model.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from accelsim.frontend import operations
from accelsim.frontend.axes import Axis, Dim, Layout, Part, whole
from accelsim.frontend.classify import Chunk, compact
from accelsim.frontend.looking import arranged, host_array, observe
from accelsim.frontend.neurons import NeuronRecord, neuron_record
from accelsim.frontend.over_time import note_use
from accelsim.frontend.sites import WEIGHTED, Norm, Operand, Recording, Site, SiteKind, Value, feature_dims, renewed
from accelsim.frontend.verifying import picked

WEIGHTED_MODULES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.RNNBase, nn.MultiheadAttention, nn.RNNCellBase)


@dataclass
class _Frame:
    """One module call in progress."""

    module: nn.Module
    path: str
    neuron: NeuronRecord | None
    recorded: int
    arguments: tuple[Any, ...] = field(default=(), repr=False)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects call sites and the inputs of weighted operations while a network runs.

    Args:
        model: the network.
        layout: axes of the network's input, e.g. ("T", "N"), ("N", "T") or ("N",).
        timesteps: T, where it is known beforehand.
        stepwise: whether each call of the network is one timestep, told apart by `step`.
        images: keep only the first of them; None for all.
        probing: look for loops over time inside neurons, too.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: tuple[str, ...],
        timesteps: int | None,
        *,
        stepwise: bool,
        images: int | None = None,
        probing: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.layout = layout
        self.stepwise = stepwise
        self.images = images
        self.probing = probing
        self.time = Axis("T", timesteps or 0)
        self.batch = Axis("N", 0)
        self.steps = 0
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
        self._random: Any = WeakIdKeyDictionary()
        self.filling: Any = WeakIdKeyDictionary()
        """Tensors that a loop over time fills, each with its timesteps so far."""
        self._tokens = itertools.count()
        self._seen: Counter[Hashable] = Counter()
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._neurons: dict[int, NeuronRecord | None] = {}
        self._stack: list[_Frame] = []
        self._muted: _Frame | None = None
        self._recorded = 0
        self._handles: list[Any] = []
        self._fast_attention = True
        self._plain_attention: AbstractContextManager[None] = nullcontext()

    # --- entering and leaving ---------------------------------------------------------------------------

    def __enter__(self) -> Recorder:
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]
        # Fused attention would hide its products.
        self._fast_attention = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        self._plain_attention = sdpa_kernel(SDPBackend.MATH)
        self._plain_attention.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)  # type: ignore[no-untyped-call]
        self._plain_attention.__exit__(*details)
        torch.backends.mha.set_fastpath_enabled(self._fast_attention)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def settle(self) -> None:
        """Copy the weights that still are the model's own memory, before the user goes on with it."""
        for site in self.weighted:
            site.weight = None if site.weight is None else site.weight.copy()
            site.bias = None if site.bias is None else site.bias.copy()

    def step(self) -> None:
        """The timestep is over."""
        self.steps += 1
        self._seen.clear()

    # --- values -----------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Dotted path of the innermost module at work."""
        return self._stack[-1].path if self._stack else ""

    @property
    def lead(self) -> tuple[Axis, Axis]:
        """The axes that are no features."""
        return self.time, self.batch

    def value(self, tensor: Any) -> Value | None:
        """What is known of a tensor."""
        found: Value | None = self._values.get(tensor) if isinstance(tensor, Tensor) else None
        return found

    def assign(self, tensor: Any, value: Value | None) -> None:
        """Say what a tensor is; None for nothing that matters."""
        if isinstance(tensor, Tensor):
            if value is None:
                self._values.pop(tensor, None)
            else:
                self._values[tensor] = value

    def token(self) -> int:
        """A number for new data."""
        return next(self._tokens)

    def is_random(self, tensor: Any) -> bool:
        """Whether a tensor was drawn at random (the comparison of an image with one is an encoder)."""
        return isinstance(tensor, Tensor) and tensor in self._random

    def is_bias(self, tensor: Tensor) -> bool:
        """Whether a tensor is the bias of the module at work: anything a Linear adds, else by its name."""
        module = self._stack[-1].module if self._stack else None
        if module is None or isinstance(module, nn.Linear):
            return module is not None
        return any(own is tensor and "bias" in name for name, own in module.named_parameters(recurse=False))

    # --- sites ------------------------------------------------------------------------------------------

    def locate(self, kind: SiteKind, extra: Hashable, roots: Sequence[Site], *, by_turn: bool) -> Site:
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
        note_use(self, value)
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
            self._recorded += 1
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

    # --- what torch calls -------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self._muted is not None and not self.probing:
            return out
        name = func.overloadpacket.__name__
        if name in operations.RANDOM:
            self._random[out] = True
        if any(True for _ in self.tracked(args)):
            if self._muted is None or name in operations.VIEWS:
                operations.handle(self, func, name, args, kwargs, out)
        elif self._muted is None and self._stack and not all(isinstance(a, nn.Parameter) for a in _tensors(args)):
            self.miss(func, args, kwargs, out, constant=True)
        return out

    def tracked(self, args: Sequence[Any]) -> Iterator[tuple[Tensor, Value]]:
        """The known tensors among the arguments, lists of tensors included."""
        for tensor in _tensors(args):
            value = self._values.get(tensor)
            if value is not None:
                yield tensor, value

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        path = self._paths.get(id(module))
        if path is None:
            return
        if not self._stack:
            self._enter_network(args)
        frame = _Frame(module, path, None, self._recorded, args)
        self._stack.append(frame)
        if self._muted is None and any(isinstance(argument, Tensor) for argument in args):
            frame.neuron = self._neuron(module)
            if frame.neuron is not None:
                self._muted = frame

    def _neuron(self, module: nn.Module) -> NeuronRecord | None:
        if id(module) not in self._neurons:
            inner = any(isinstance(child, WEIGHTED_MODULES) for child in module.modules())
            self._neurons[id(module)] = None if inner else neuron_record(module)
        return self._neurons[id(module)]

    def _enter_network(self, args: tuple[Any, ...]) -> None:
        tensor = next((argument for argument in args if isinstance(argument, Tensor)), None)
        if tensor is None or self.value(tensor) is not None:
            return
        for name, size in zip(self.layout, tensor.shape, strict=False):
            axis = self.time if name == "T" else self.batch
            axis.size = int(size)
        if self.input is None:
            self.input = Site("input", "", "input")
        lead = [whole(self.time if name == "T" else self.batch) for name in self.layout]
        axes = [Axis("f", int(size)) for size in tensor.shape[len(lead) :]]
        layout = (*lead, *(whole(axis) for axis in axes))
        self.emit(self.input, tensor, layout, axes, [axis.size for axis in axes])

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self._stack or self._stack[-1].module is not module:
            return
        frame = self._stack[-1]
        if self._muted is frame:
            self._muted = None
            self._fire(frame, output)
        elif isinstance(module, nn.Conv2d | nn.Linear) and self._recorded == frame.recorded and output is not None:
            operations.weighted_module(self, module, frame.arguments, output)
        self._stack.pop()
        if not self._stack:
            self._leave_network(output)

    def _fire(self, frame: _Frame, output: Any) -> None:
        """A neuron module has run: one site from its current to its spikes."""
        current = next((argument for argument in frame.arguments if isinstance(argument, Tensor)), None)
        value = self.value(current)
        tensors = list(_tensors([output]))
        if current is None or value is None or not tensors:
            return
        layout = value.layout
        if tensors[0].shape != current.shape:
            grown = current.dim() == tensors[0].dim() and not layout[0] and tensors[0].shape[0] == self.time.size
            layout = (whole(self.time), *layout[1:]) if grown else self.guessed(tensors[0])
        operand = self.elementwise_operand(value, current.shape)
        for number, tensor in enumerate(tensors[:2]):
            if number and tensor.shape != tensors[0].shape:
                continue
            site = self.locate("opaque" if number else "neuron", number, [value.site], by_turn=True)
            site.operands = (operand,)
            site.module = frame.module
            if number:
                site.does = "membrane"
            else:
                site.neuron = frame.neuron
                site.own_state = sum(isinstance(argument, Tensor) for argument in frame.arguments) == 1
                observe(site, tensor)
                if not self.probing:
                    site.followed.note(current, tensor, value.layout, self.time)
            self.emit_like(site, tensor, layout)

    def _leave_network(self, output: Any) -> None:
        first = next(iter(_tensors([output])), None)
        value = self.value(first)
        if value is not None:
            note_use(self, value)
        with torch.utils._python_dispatch._disable_current_modes():
            self.outputs.append(None if first is None else host_array(first))

    @property
    def weighted(self) -> list[Site]:
        """The weighted sites, in the order in which they were met."""
        return [site for site in self.sites.values() if site.kind in WEIGHTED]


def _tensors(items: Sequence[Any]) -> Iterator[Tensor]:
    for item in items:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, list | tuple):
            yield from _tensors(item)
