"""Leave no trace: the user's mode, neuron state, buffers and random numbers are as they were."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Framework bookkeeping that torch itself keeps in __dict__; parameters do not change in a forward pass.
_LEFT_ALONE = {
    "_modules",
    "_parameters",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
}
_DEPTH = 3
"""How deep containers of state are copied: a list of dictionaries of tensors is the deepest seen."""


def _working(value: Any, copies: dict[int, Any], depth: int = _DEPTH) -> Any:
    """A copy to work on: tensors cloned (each once, however many modules hold it), containers copied."""
    if isinstance(value, nn.Parameter):
        return value
    if isinstance(value, Tensor):
        if id(value) not in copies:
            copies[id(value)] = value.detach().clone()
        return copies[id(value)]
    if depth and type(value) in (dict, OrderedDict):
        return type(value)((key, _working(item, copies, depth - 1)) for key, item in value.items())
    if depth and type(value) is list:
        return [_working(item, copies, depth - 1) for item in value]
    return value


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, training mode, buffers, membranes and random states are back afterwards.

    The modules work on copies of their buffers and attributes meanwhile. A copy of the whole model would be
    simpler, but torch refuses to deep-copy membranes that still belong to a gradient graph, as they do after
    a training step.
    """
    saved = [(module, dict(module.__dict__)) for module in model.modules()]
    compiled = [  # TorchScript keeps its mode and buffers outside of __dict__
        (module, module.training, [(buffer, buffer.detach().clone()) for buffer in module.buffers(recurse=False)])
        for module in model.modules()
        if isinstance(module, torch.jit.ScriptModule)
    ]
    copies: dict[int, Any] = {}
    devices = sorted({tensor.device.index or 0 for tensor in model.parameters() if tensor.device.type == "cuda"})
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 the user's global one
    try:
        for module, attributes in saved:
            for name in attributes.keys() - _LEFT_ALONE:
                module.__dict__[name] = _working(attributes[name], copies)
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        for module, attributes in saved:
            module.__dict__.clear()
            module.__dict__.update(attributes)
        for module, training, buffers in compiled:
            module.training = training
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


# Names under which frameworks and users call it; the first that a module has is called.
_RESETS = (
    "reset_mem",
    "reset_state",
    "reset_states",
    "reset_hidden",
    "reset_neuron",
    "reset_membrane",
    "reset",
    "init_state",
)


def reset_model(model: nn.Module) -> list[str]:
    """Clear the membranes of every module that knows how, by duck typing.

    snnTorch's neurons have `reset_mem`, SpikingJelly's `reset`, others are tried by usual names; methods
    that want arguments are left alone.

    Returns:
        Paths of the modules that hold a membrane (a tensor under a usual name) and have no way to clear it.
    """
    stuck: list[str] = []
    for path, module in model.named_modules():
        for name in _RESETS:
            method = _method(module, name)
            if method is None:
                continue
            try:
                method()
            except TypeError:  # wants arguments: not a plain reset
                continue
            break
        else:
            if _has_membrane(module):
                stuck.append(path or type(module).__name__)
    return stuck


def _method(module: nn.Module, name: str) -> Any:
    """A bound method of the module's class; an attribute `reset` that is a tensor or a word is none."""
    return getattr(module, name, None) if callable(getattr(type(module), name, None)) else None


_MEMBRANES = ("mem", "membrane", "v", "u", "potential", "state", "hidden", "mem_pot", "v_mem")


def _has_membrane(module: nn.Module) -> bool:
    return any(
        isinstance(getattr(module, name, None), Tensor) and getattr(module, name).dim() > 1 for name in _MEMBRANES
    )
