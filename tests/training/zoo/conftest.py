"""One thread before torch is loaded (small tensors get slower with more)."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _reproducible():
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def lively():
    """Gives a network batch-norms that are not the identity and let its neurons fire, and evaluation mode."""
    import torch
    from torch import nn

    def enliven(net, seed=0):
        generator = torch.Generator().manual_seed(seed)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
                for tensor, low, high in (
                    (layer.running_mean, -0.1, 0.1),
                    (layer.running_var, 0.02, 0.2),
                    (layer.weight.data, 0.5, 1.5),
                    (layer.bias.data, 0.0, 0.6),
                ):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
            elif type(layer) is nn.Linear:  # without a batch-norm behind it
                layer.weight.data *= 4.0
        return net.eval()

    return enliven
