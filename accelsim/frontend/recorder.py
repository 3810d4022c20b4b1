"""Watches a network run: every aten operation, and the module inside which it happens.

Operations are caught below autograd (`TorchDispatchMode`), where `q @ k.T`, a residual `+` and a functional
convolution look like any other; global module hooks give the dotted path of the module that called them, and
let a known neuron module count as one operation whatever it does inside. Nothing is attached to the model.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from accelsim.core.effort import Rest
from accelsim.frontend import operations
from accelsim.frontend.axes import Axis, whole
from accelsim.frontend.bookkeeping import Bookkeeping, Call, tensors_of
from accelsim.frontend.looking import host_array, observe
from accelsim.frontend.neurons import NeuronRecord, neuron_record
from accelsim.frontend.sites import Site
from accelsim.frontend.weighted import CONVOLUTIONS

WEIGHTED_MODULES = (*CONVOLUTIONS, nn.Linear, nn.RNNBase, nn.MultiheadAttention, nn.RNNCellBase)


class Recorder(Bookkeeping, TorchDispatchMode):  # type: ignore[no-untyped-call]
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
        Bookkeeping.__init__(self, layout, timesteps, stepwise=stepwise, images=images, probing=probing)
        TorchDispatchMode.__init__(self)  # type: ignore[no-untyped-call]
        self.model = model
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._neurons: dict[int, NeuronRecord | None] = {}
        self._muted: Call | None = None
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
        if self.stepwise and self.time.size:
            self.rest = Rest("timesteps of tracing", self.time.size)
        return self

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)  # type: ignore[no-untyped-call]
        self._plain_attention.__exit__(*details)
        torch.backends.mha.set_fastpath_enabled(self._fast_attention)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    # --- what torch calls -------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self._muted is not None and not self.probing:
            return out
        name = func.overloadpacket.__name__
        if name in operations.RANDOM:
            self.random[out] = True
        if any(True for _ in self.tracked(args)):
            if self._muted is None or name in operations.VIEWS:
                operations.handle(self, func, name, args, kwargs, out)
        elif self._muted is None and self.calls and not all(isinstance(a, nn.Parameter) for a in tensors_of(args)):
            self.miss(func, args, kwargs, out, constant=True)
        return out

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        path = self._paths.get(id(module))
        if path is None:
            return
        if not self.calls:
            self._enter_network(args)
        call = Call(module, path, None, self.recorded, args)
        self.calls.append(call)
        if self._muted is None and any(isinstance(argument, Tensor) for argument in args):
            call.neuron = self._neuron(module)
            if call.neuron is not None:
                self._muted = call

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
        if not self.calls or self.calls[-1].module is not module:
            return
        call = self.calls[-1]
        if self._muted is call:
            self._muted = None
            self._fire(call, output)
        elif isinstance(module, (*CONVOLUTIONS, nn.Linear)) and self.recorded == call.recorded and output is not None:
            operations.weighted_module(self, module, call.arguments, output)
        self.calls.pop()
        if not self.calls:
            self._leave_network(output)

    def _fire(self, call: Call, output: Any) -> None:
        """A neuron module has run: one site from its current to its spikes."""
        current = next((argument for argument in call.arguments if isinstance(argument, Tensor)), None)
        value = self.value(current)
        tensors = list(tensors_of([output]))
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
            site.module = call.module
            if number:
                site.does = "membrane"
            else:
                site.neuron = call.neuron
                site.own_state = sum(isinstance(argument, Tensor) for argument in call.arguments) == 1
                observe(site, tensor)
                if not self.probing:
                    site.followed.note(current, tensor, value.layout, self.time)
            self.emit_like(site, tensor, layout)

    def _leave_network(self, output: Any) -> None:
        first = next(iter(tensors_of([output])), None)
        value = self.value(first)
        if value is not None:
            self.note_use(value)
        with torch.utils._python_dispatch._disable_current_modes():
            self.outputs.append(None if first is None else host_array(first))
