"""Networks whose last layer gives logits for each token: the answer is their mean."""

from __future__ import annotations

import numpy as np
import torch

import accelsim
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.inference.network_io import classes_of
from accelsim.training.models import fold_batchnorm
from accelsim.training.spikformer import spikformer
from accelsim.training.traced import export_network
from tests.inference.networks import inputs_for, make, weights_for
from tests.rounding import Reference, sum_bound

LAYERS = [
    {"name": "patch", "op": "conv2d", "out_channels": 4, "kernel": 2, "stride": 2},
    {"name": "lif", "op": "neuron"},
    {"name": "tokens", "op": "tokens"},
    {"name": "head", "op": "linear", "out_features": 3},
]


def test_tokens_are_averaged():
    workload = make(LAYERS, [2, 6, 6])
    weights, inputs = weights_for(workload), inputs_for(workload)
    run = Network(workload, weights, Arithmetic()).run(inputs)
    assert classes_of(workload) == 3
    assert run.logits.shape == (4, 5, 3)
    spikes = run.spikes["lif"].dense().reshape(4, 5, 4, 9)
    by_token = np.einsum("tncl,mc->tnlm", spikes, weights["head.weight"]) + weights["head.bias"]
    # Four products and a bias, nine tokens, a quotient: once in single precision, once exactly.
    by_token_sizes = np.einsum("tncl,mc->tnlm", spikes, np.abs(weights["head.weight"])) + np.abs(weights["head.bias"])
    allowed = sum_bound(4 + 1 + 9 + 1, by_token_sizes.mean(axis=2))
    assert (np.abs(run.logits - by_token.mean(axis=2)) <= allowed).all()


def test_a_spiking_transformer_runs_on_both_machines(tmp_path):
    torch.manual_seed(0)
    net = spikformer(in_shape=(1, 8, 8), classes=3, timesteps=2, width=16, depth=1, heads=2, patch=2).eval()
    for norm in (module for module in net.modules() if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)):
        torch.nn.init.constant_(norm.bias, 0.3)  # untrained, hardly any neuron would fire
    net = fold_batchnorm(net)
    images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    bundle = export_network(
        net, tmp_path / "former", timesteps=2, name="former", description="", source="", images=images, labels=labels,
        precision={"weight_bits": 8},
    )  # fmt: skip
    with torch.no_grad():
        wanted = net(images).numpy()
    reference = Reference.of(bundle.workload, bundle.weights, images.numpy())
    assert any(record.ones().sum() for record in reference.run.spikes.values())
    reference.check(bundle.trace, wanted)
    for machine in ("spikeflow", "sata"):
        found = accelsim.infer(tmp_path / "former", machine, early_exit=0.9)
        assert found.predictions.max() < 3
        assert len(found.to_dict()["exit_histogram"]) == 2
