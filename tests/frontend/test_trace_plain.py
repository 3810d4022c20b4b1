"""Networks of plain torch modules: what is traced equals what hooks see, call site by call site."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from accelsim.core.errors import InputError
from accelsim.frontend import Tracer, TraceWarning, trace
from accelsim.training.export import record
from accelsim.training.models import digits_net


@pytest.fixture
def small_net(user_lif):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
            self.bn1 = nn.BatchNorm2d(6)
            self.lif1 = user_lif()
            self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(8)
            self.lif2 = user_lif(threshold=0.3, reset_mode="soft")
            self.fc = nn.Linear(8 * 4 * 4, 5)

        def forward(self, x):
            x = self.lif1(self.bn1(self.conv1(x)))
            return self.fc(self.lif2(self.bn2(self.conv2(x))).flatten(1))

    net = Net()
    for norm in (net.bn1, net.bn2):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.05, 0.3)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
    return net.eval()


def test_inputs_equal_those_that_hooks_capture(small_net, capture, dense_of, quiet):
    images = torch.rand(3, 2, 8, 8) * 2

    def run():
        for module in (small_net.lif1, small_net.lif2):
            module.reset_state()
        for _ in range(4):
            small_net(images)

    expected = capture(small_net, run)
    bundle = trace(small_net, images, timesteps=4)
    assert list(bundle.trace) == ["conv1", "conv2", "fc"]
    for name, calls in expected.items():
        assert np.array_equal(dense_of(bundle, name), np.stack(calls)), name
    assert bundle.trace["conv1"].kind == "real"
    assert bundle.trace["conv1"].steps == 1, "a static frame is stored once"
    assert bundle.trace["conv2"].kind == "binary"
    assert 0.02 < bundle.workload.activity["conv2"].density.mean() < 0.9
    assert quiet() == []


def test_graph_holds_shapes_strides_neurons_and_no_batch_norm(small_net):
    bundle = trace(small_net, torch.rand(2, 2, 8, 8), timesteps=2)
    graph = bundle.workload.graph
    assert [op.kind for op in graph.operations] == ["conv2d", "neuron", "conv2d", "neuron", "flatten", "linear"]
    assert graph.by_name["conv2"].out_shape == (8, 4, 4)
    assert graph.by_name["conv2"].spec.bias, "the batch-norm gave it one"
    neuron = graph.by_name["lif2"].neuron
    assert (neuron.model, neuron.leak, neuron.threshold, neuron.reset) == ("lif", 0.5, 0.3, "soft")


def test_folded_weights_compute_convolution_and_batch_norm(small_net):
    bundle = trace(small_net, torch.rand(2, 2, 8, 8), timesteps=2)
    maps = torch.rand(4, 6, 8, 8)
    with torch.no_grad():
        expected = small_net.bn2(small_net.conv2(maps))
        weight, bias = (torch.from_numpy(bundle.weights[f"conv2.{key}"]) for key in ("weight", "bias"))
        found = functional.conv2d(maps, weight, bias, stride=2, padding=1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_unfolded_batch_norm_is_warned_of(small_net):
    with pytest.warns(TraceWarning, match="'bn1' is not folded into 'conv1'"):
        bundle = trace(small_net, torch.rand(2, 2, 8, 8), timesteps=2, fold_bn=False)
    assert np.array_equal(bundle.weights["conv2.weight"], small_net.conv2.weight.detach().numpy())
    assert "conv2.bias" not in bundle.weights


def test_the_model_is_left_as_it_was(small_net, user_lif):
    small_net.train()
    small_net.bn2.eval()
    with torch.no_grad():
        small_net.lif1(torch.rand(1, 6, 8, 8))
    membrane = small_net.lif1.mem
    content = membrane.clone()
    before = {key: value.clone() for key, value in small_net.state_dict().items()}
    modes = [module.training for module in small_net.modules()]
    random_state = torch.get_rng_state()
    with pytest.warns(TraceWarning, match="training mode"):
        trace(small_net, torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(1)), timesteps=3)
    assert small_net.lif1.mem is membrane
    assert torch.equal(membrane, content)
    assert small_net.lif2.mem is None
    assert [module.training for module in small_net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    after = small_net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in small_net.modules())


def test_the_trace_does_not_depend_on_the_state_before(small_net):
    images = torch.rand(2, 2, 8, 8)
    first = trace(small_net, images, timesteps=3)
    with torch.no_grad():
        small_net.lif1(torch.rand(2, 6, 8, 8) * 5)
    again = trace(small_net, images, timesteps=3)
    assert first.workload.hash == again.workload.hash


def test_the_model_is_restored_after_an_error(small_net):
    small_net.fc = nn.Linear(3, 5)  # does not fit
    small_net.train()
    with pytest.raises(InputError, match=r"own forward failed in 'fc' .*shapes cannot be multiplied"):
        trace(small_net, torch.rand(2, 2, 8, 8), timesteps=2, layout="step")
    assert all(module.training for module in small_net.modules())
    assert torch.nn.modules.module._global_forward_hooks == {}


def test_tracer_follows_a_loop_of_the_users_own(small_net, dense_of):
    images = torch.rand(3, 2, 8, 8)
    whole = trace(small_net, images, timesteps=4)
    with Tracer(small_net, timesteps=4) as tracer:
        for _ in range(4):
            small_net(images)
            tracer.step()
    bundle = tracer.bundle(samples={"inputs": images})
    for name in whole.trace:
        assert np.array_equal(dense_of(bundle, name), dense_of(whole, name))
    assert np.array_equal(bundle.samples["logits"], whole.samples["logits"])


def test_tracer_warns_of_another_number_of_timesteps(small_net):
    with Tracer(small_net, timesteps=4) as tracer:
        for _ in range(2):
            small_net(torch.rand(2, 2, 8, 8))
            tracer.step()
    with pytest.warns(TraceWarning, match="timesteps=4 was asked for, but the network ran 2"):
        assert tracer.bundle().workload.timesteps == 2


def test_tracer_keeps_the_first_images(small_net, dense_of):
    images = torch.rand(5, 2, 8, 8)
    with Tracer(small_net, images=2) as tracer:
        for _ in range(2):
            small_net(images)
            tracer.step()
    expected = trace(small_net, images, timesteps=2, images=2)
    bundle = tracer.bundle()
    assert bundle.workload.images == 2
    assert np.array_equal(dense_of(bundle, "conv2"), dense_of(expected, "conv2"))


@pytest.mark.parametrize("images", [1, 2, 3])
def test_layouts_of_one_network_give_one_trace(images, dense_of):
    net = digits_net(timesteps=3).eval()
    frames = torch.rand(images, 1, 16, 16) * 3
    bundle = trace(net, frames, timesteps=3)
    recorded = record(net, frames)
    assert sorted(bundle.trace) == sorted(f"layers.{name}" for name in recorded.trace)
    for name in recorded.trace:
        expected = recorded.trace[name].dense()
        assert np.array_equal(dense_of(bundle, f"layers.{name}"), np.broadcast_to(expected, (3, *expected.shape[1:])))
    assert np.array_equal(bundle.samples["logits"], recorded.logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "TNN"}, "found 'TNN', allowed: auto, TN, NT, step, N; did you mean 'TN'?"),
        ({"level": "spike"}, "found 'spike', allowed: spikes, stats; did you mean 'spikes'?"),
        ({"images": 0}, "images: found 0, must be 'all' or a whole number of at least 1"),
        ({"timesteps": None}, "number of timesteps must be given"),
        ({"timesteps": 0}, "found 0, must be a whole number"),
        ({"layout": "TN"}, "takes dimension 0 of x as time, but x has shape"),
        ({"labels": ["cat", "dog"]}, "labels: found list of 2 items (<U3), must be an array of numbers"),
        ({"reset": "maybe"}, "allowed: auto, none, or a function"),
        ({"labels": [1]}, "one label for each of 2 images"),
    ],
)
def test_wrong_options_are_refused(small_net, change, message):
    with pytest.raises(InputError) as error:
        trace(small_net, torch.rand(2, 2, 8, 8), **{"timesteps": 3, **change})
    assert message in str(error.value)


def test_what_is_no_network_is_refused(small_net):
    with pytest.raises(InputError, match=r"expected a torch.nn.Module, found function"):
        trace(lambda x: x, torch.rand(2, 2), timesteps=1)
    with pytest.raises(InputError, match="no convolution, linear layer"):
        trace(nn.Sequential(nn.ReLU()), torch.rand(2, 2), timesteps=1)
    with pytest.raises(InputError, match="cannot be run on x"):
        trace(small_net, torch.rand(2, 7, 8, 8), timesteps=2)


def test_a_misspelt_precision_is_refused_before_the_network_runs(small_net):
    with pytest.raises(InputError, match="did you mean 'weight_bits'"):
        trace(small_net, torch.rand(2, 2, 8, 8), timesteps=2, precision={"weight_bit": 4})
