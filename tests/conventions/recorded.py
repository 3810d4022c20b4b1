"""A torch network run once under a public counter and, by hooks, into a bundle: both see the same spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from accelsim.workload import Bundle, SpikeTrace


def bundle_of(
    network: nn.Module,
    run: Any,
    layers: Sequence[Mapping[str, Any]],
    *,
    shape: Sequence[int],
    timesteps: int,
    images: int,
    encoding: str,
) -> Bundle:
    """Run `run(network)` and keep the inputs of its Conv2d and Linear modules, named as in `layers`.

    Inputs may come as one call of [T, N, ...], or as T calls of [N, ...].
    """
    modules = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    seen: dict[str, list[np.ndarray]] = {name: [] for name in modules}
    handles = [
        module.register_forward_hook(lambda _m, args, _out, name=name: seen[name].append(args[0].detach().numpy()))
        for name, module in modules.items()
    ]
    with torch.no_grad():
        run(network)
    for handle in handles:
        handle.remove()
    arrays = {}
    for name, calls in seen.items():
        stacked = calls[0] if len(calls) == 1 else np.stack(calls)
        arrays[name] = stacked.reshape(timesteps, images, *stacked.shape[2:])
    weights = {
        f"{name}.{kind}": getattr(module, kind).detach().numpy()
        for name, module in modules.items()
        for kind in ("weight", "bias")
        if getattr(module, kind) is not None
    }
    description = {
        "name": "recorded",
        "timesteps": timesteps,
        "input": {"shape": list(shape), "encoding": encoding},
        "layers": [dict(layer) for layer in layers],
    }
    return Bundle.of(description, weights=weights, trace=SpikeTrace.from_arrays(arrays), samples={})
