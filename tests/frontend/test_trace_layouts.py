"""Where time stands in a tensor: the same network in every layout gives the same trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.core.errors import InputError
from accelsim.frontend import trace
from tests.rounding import bundles_agree

T, N = 4, 3


class Multi(nn.Module):
    """Multi-step network; `time` is the dimension of time of its input, everything else goes through [T x N]."""

    def __init__(self, lif, time=0):
        super().__init__()
        self.conv, self.lif, self.fc, self.time = (
            nn.Conv2d(2, 4, 3, padding=1),
            lif(threshold=0.3),
            nn.Linear(100, 3),
            time,
        )

    def forward(self, x):
        other = 1 - self.time
        lead = x.shape[:2]
        currents = self.conv(x.flatten(0, 1)).unflatten(0, lead)
        spikes = torch.stack([self.lif(current) for current in currents.unbind(self.time)], self.time)
        assert spikes.shape[other] == lead[other]
        return self.fc(spikes.flatten(0, 1).flatten(1)).unflatten(0, lead)


@pytest.fixture
def frames():
    return (torch.rand(T, N, 2, 5, 5) < 0.4).float()


@pytest.fixture
def reference(user_lif, frames, dense_of):
    torch.manual_seed(3)
    net = Multi(user_lif).eval()
    with torch.no_grad():
        net.lif.reset_state()
        logits = net(frames)
    bundle = trace(net, frames, layout="TN")
    assert np.array_equal(bundle.samples["logits"], logits.numpy())
    assert np.array_equal(dense_of(bundle, "conv"), frames.numpy())
    return net, bundle


def same(first, second):
    assert list(first.trace) == list(second.trace)
    bundles_agree(second, first)


def test_images_before_timesteps(reference, user_lif, frames):
    net, bundle = reference
    swapped = Multi(user_lif, time=1).eval()
    swapped.load_state_dict(net.state_dict())
    same(trace(swapped, frames.transpose(0, 1).contiguous(), layout="NT"), bundle)
    same(trace(swapped, frames.transpose(0, 1).contiguous(), timesteps=T), bundle)


def test_one_call_per_frame(reference, user_lif, frames):
    net, bundle = reference
    single = nn.Sequential(net.conv, net.lif, nn.Flatten(), net.fc)
    found = trace(single, frames, layout="step")
    bundles_agree(bundle, found)


def test_auto_tells_multi_step_from_single_step(reference, user_lif, frames):
    net, bundle = reference
    same(trace(net, frames), bundle)
    single = nn.Sequential(net.conv, net.lif, nn.Flatten(), net.fc).eval()
    bundles_agree(bundle, trace(single, frames))


def test_first_images_only(reference, frames):
    net, bundle = reference
    found = trace(net, frames, layout="TN", images=2)
    assert found.workload.images == 2
    assert np.array_equal(found.trace["fc"].dense(), bundle.trace["fc"].dense()[:, :2])
    assert found.samples["inputs"].shape == (T, 2, 2, 5, 5)


def test_counts_alone(reference, frames):
    net, bundle = reference
    counts = trace(net, frames, layout="TN", level="stats")
    assert counts.level == "stats"
    for name in ("conv", "fc"):
        ours, theirs = counts.workload.activity[name], bundle.workload.activity[name]
        assert np.array_equal(ours.accumulations, theirs.accumulations)


def test_a_network_that_repeats_its_image_over_time(user_lif, dense_of):
    class Repeating(Multi):
        def forward(self, x):
            return super().forward(x.unsqueeze(0).repeat(T, 1, 1, 1, 1))

    net = Repeating(user_lif).eval()
    images = torch.rand(N, 2, 5, 5)
    bundle = trace(net, images, timesteps=T)
    assert bundle.trace["conv"].steps == 1
    assert bundle.workload.file.input.encoding == "direct"
    plain = Multi(user_lif).eval()
    plain.load_state_dict(net.state_dict())
    expected = trace(plain, images.expand(T, *images.shape), layout="TN")
    assert np.array_equal(dense_of(bundle, "fc"), dense_of(expected, "fc"))


def test_a_poisson_encoder_inside_the_network(user_lif, dense_of):
    class Encoding(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif, self.fc2 = nn.Linear(6, 8), user_lif(threshold=0.2), nn.Linear(8, 2)

        def forward(self, x):
            steps = [self.fc2(self.lif(self.fc1((torch.rand_like(x) < x).float()))) for _ in range(T)]
            return torch.stack(steps)

    bundle = trace(Encoding().eval(), torch.rand(N, 6), timesteps=T)
    assert bundle.workload.file.input.encoding == "rate"
    assert bundle.trace["fc1"].kind == "binary"
    assert [op.kind for op in bundle.workload.graph.operations] == ["linear", "neuron", "linear"]


def test_signed_events(user_lif):
    events = torch.randint(-1, 2, (T, N, 2, 5, 5)).float()
    bundle = trace(Multi(user_lif).eval(), events, layout="TN")
    assert bundle.workload.file.input.encoding == "events"
    assert (bundle.trace["conv"].kind, bundle.trace["conv"].planes) == ("ternary", 2)


def test_half_precision_and_numpy_input(reference, frames):
    net, bundle = reference
    same(trace(net, frames.numpy().astype(np.float64), layout="TN"), bundle)
    half = trace(net.to(torch.bfloat16), frames, layout="TN")
    assert half.trace["fc"].kind == "binary"


def test_silent_networks_keep_their_classes(user_lif):
    """Nothing fires: binary input of the linear layer, quarters behind an average pooling."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), user_lif(threshold=1e6), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )
    bundle = trace(net.eval(), torch.rand(N, 1, 4, 4), timesteps=T)
    record = bundle.trace[bundle.workload.graph.weighted[1].name]
    assert (record.kind, record.planes, record.scale) == ("uint", 3, 0.25)
    assert not record.ones().any()


def test_neurons_that_emit_their_threshold(user_lif, dense_of):
    """{0, c} spikes, as of converted networks: binary with a scale."""

    class Scaled(user_lif):
        def forward(self, current):
            return super().forward(current) * 0.7

    net = nn.Sequential(nn.Conv2d(1, 4, 3), Scaled(threshold=0.2), nn.Flatten(), nn.Linear(16, 2)).eval()
    bundle = trace(net, torch.rand(N, 1, 4, 4), timesteps=T)
    name = bundle.workload.graph.weighted[1].name
    assert bundle.trace[name].kind == "binary"
    assert bundle.trace[name].scale == pytest.approx(0.7)
    assert set(np.unique(dense_of(bundle, name))) == {np.float32(0.0), np.float32(0.7)}


def test_a_kernel_torch_does_not_show_is_recorded_from_its_module(user_lif, dense_of):
    """Hooks as fallback: a subclass whose product is computed elsewhere (here with numpy)."""

    class Foreign(nn.Linear):
        def forward(self, x):
            return torch.from_numpy(x.numpy() @ self.weight.numpy().T + self.bias.numpy())

    net = nn.Sequential(
        nn.Linear(6, 8), user_lif(threshold=0.2), Foreign(8, 5), user_lif(threshold=0.1), nn.Linear(5, 2)
    )
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    bundle = trace(net.eval(), torch.rand(N, 6), timesteps=T)
    assert [op.kind for op in bundle.workload.graph.operations] == ["linear", "neuron", "linear", "neuron", "linear"]
    assert dense_of(bundle, "linear_2").shape == (T, N, 8)
    assert np.array_equal(bundle.weights["linear_2.weight"], net[2].weight.numpy())


@pytest.mark.parametrize("shape", [(5, N, 2, 5, 5), (6, 7, 2, 5, 5)])
def test_timesteps_that_fit_no_dimension_are_refused(reference, shape):
    net, _ = reference
    with pytest.raises(InputError, match=r"neither of the first two dimensions|takes dimension 0"):
        trace(net, torch.rand(shape), timesteps=T)


@pytest.mark.parametrize("timesteps", [1, 3, 8])
def test_timesteps_other_than_the_networks_own_are_told(user_lif, timesteps):
    class FourSteps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lif, self.fc = nn.Conv2d(1, 4, 3, padding=1), user_lif(), nn.Linear(4 * 36, 3)

        def forward(self, x):
            currents = self.conv(x.unsqueeze(0).repeat(4, 1, 1, 1, 1).flatten(0, 1)).view(4, -1, 4, 6, 6)
            return self.fc(torch.stack([self.lif(current) for current in currents]).flatten(2)).mean(0)

    net, x = FourSteps().eval(), torch.rand(2, 1, 6, 6)
    assert trace(net, x, timesteps=4).workload.timesteps == 4
    with pytest.raises(InputError, match=f"timesteps={timesteps}, check that the network computes as many"):
        trace(net, x, timesteps=timesteps)


@pytest.mark.parametrize("images", [1, 2])
def test_one_timestep_of_tokens_can_be_added(user_lif, images):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc, self.head = nn.Conv2d(1, 8, 3, 2, 1), nn.Linear(8, 8), nn.Linear(8, 3)
            self.lif1, self.lif2 = user_lif(threshold=0.1), user_lif(threshold=0.1)

        def forward(self, x):
            steps, count = x.shape[:2]
            tokens = self.lif1(self.conv(x.flatten(0, 1))).view(steps, count, 8, 9).transpose(-1, -2)
            return self.head(tokens + self.lif2(self.fc(tokens)))

    bundle = trace(Residual().eval(), torch.rand(1, images, 1, 6, 6) * 3, layout="TN")
    added = bundle.workload.graph.by_name["add"]
    assert (added.in_shapes, added.out_shape) == (((9, 8), (9, 8)), (9, 8))
    assert bundle.trace["head"].shape == (9, 8)
