"""Small networks in the styles people write, and the plain hook capture that traces are checked against."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

HAS_TORCH = importlib.util.find_spec("torch") is not None  # layer lists need none, everything else here does


@pytest.fixture(autouse=True)
def _reproducible():
    if HAS_TORCH:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)


@functools.cache
def user_lif_class() -> type:
    from torch import Tensor, nn

    class UserLIF(nn.Module):
        """The LIF that people write themselves: one timestep per call, membrane in the module."""

        def __init__(self, leak: float = 0.5, threshold: float = 1.0, reset_mode: str = "hard") -> None:
            super().__init__()
            self.leak, self.threshold, self.reset_mode = leak, threshold, reset_mode
            self.mem: Tensor | None = None

        def reset_state(self) -> None:
            self.mem = None

        def forward(self, current: Tensor) -> Tensor:
            mem = current if self.mem is None else self.leak * self.mem + current
            spikes = (mem >= self.threshold).to(current.dtype)
            self.mem = mem * (1 - spikes) if self.reset_mode == "hard" else mem - self.threshold * spikes
            return spikes

    return UserLIF


@pytest.fixture
def user_lif() -> type:
    return user_lif_class()


def hooked(model: Any, run: Callable[[], Any]) -> dict[str, list[Any]]:
    """Inputs of the convolutions and linear layers, by path: the capture everybody writes first."""
    import torch
    from torch import nn

    seen: dict[str, list[Any]] = {}
    handles = [
        module.register_forward_hook(
            lambda _, args, __, path=path: seen.setdefault(path, []).append(args[0].detach().clone().numpy())
        )
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return seen


@pytest.fixture
def capture() -> Callable[..., dict[str, Any]]:
    return hooked


def dense(bundle: Any, op: str) -> np.ndarray:
    """The traced input of an operation, [timesteps, images, *shape], static inputs repeated."""
    values = bundle.trace[op].dense()
    return np.broadcast_to(values, (bundle.workload.timesteps, *values.shape[1:]))


@pytest.fixture
def dense_of() -> Callable[[Any, str], np.ndarray]:
    return dense


@pytest.fixture
def quiet(recwarn: pytest.WarningsRecorder) -> Callable[[], list[str]]:
    """The trace warnings given so far."""
    return lambda: [str(item.message) for item in recwarn.list if item.category.__name__ == "TraceWarning"]
