"""Networks of plain torch modules: what is traced equals what hooks see, call site by call site."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from accelsim.errors import InputError
from accelsim.frontend import Tracer, TraceWarning, trace


def kinds(bundle):
    return {op.name: op.kind for op in bundle.workload.graph.operations}


def op(bundle, name):
    return bundle.workload.graph.by_name[name]


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
    assert list(kinds(bundle).values()) == ["conv2d", "neuron", "conv2d", "neuron", "flatten", "linear"]
    assert op(bundle, "conv2").out_shape == (8, 4, 4)
    assert op(bundle, "conv2").spec.bias, "the batch-norm gave it one"
    neuron = op(bundle, "lif2").neuron
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
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
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


def test_a_loop_over_time_inside_forward_is_found(user_lif, dense_of):
    class Looping(nn.Module):
        """The first convolution once, the rest in each timestep: direct encoding as it is usually written."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.lif1, self.lif2 = user_lif(threshold=0.4), user_lif(threshold=0.2)
            self.fc = nn.Linear(4 * 8 * 8, 3)

        def forward(self, x):
            static = self.conv1(x)
            steps = [self.fc(self.lif2(self.conv2(self.lif1(static))).flatten(1)) for _ in range(5)]
            return torch.stack(steps)

    net = Looping().eval()
    images = torch.rand(2, 1, 8, 8)
    bundle = trace(net, images, timesteps=5)
    assert bundle.workload.timesteps == 5
    assert list(bundle.trace) == ["conv1", "conv2", "fc"]
    assert bundle.trace["conv1"].steps == 1
    assert bundle.trace["conv2"].steps == 5
    assert np.array_equal(bundle.samples["logits"], net_logits(net, images))
    assert len({step.tobytes() for step in dense_of(bundle, "conv2")}) > 1, "the timesteps differ"


def net_logits(net, images):
    for module in net.modules():
        if hasattr(module, "reset_state"):
            module.reset_state()
    with torch.no_grad():
        return net(images).numpy()


def test_timesteps_that_the_network_does_not_run_are_warned_of(user_lif):
    class Looping(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif, self.fc2 = nn.Linear(6, 8), user_lif(threshold=0.2), nn.Linear(8, 2)

        def forward(self, x):
            return sum(self.fc2(self.lif(self.fc1(x))) for _ in range(3))

    with pytest.warns(TraceWarning, match="timesteps=5 was asked for, but the network ran 3"):
        bundle = trace(Looping().eval(), torch.rand(2, 6), timesteps=5, layout="N")
    assert bundle.workload.timesteps == 3


def test_a_shared_neuron_module_is_one_operation_per_call_site(user_lif, dense_of):
    seen = []

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 4, 3, padding=1) for c in (1, 4, 4))
            self.lif = user_lif(threshold=0.2)

        def forward(self, x):
            first = self.lif(self.conv1(x))
            second = self.lif(self.conv2(first))
            seen.append((first.clone(), second.clone()))
            return self.conv3(second)

    net = Shared().eval()
    bundle = trace(net, torch.rand(2, 1, 6, 6), timesteps=3)
    neurons = [o for o in bundle.workload.graph.operations if o.kind == "neuron"]
    assert [neuron.inputs for neuron in neurons] == [("conv1",), ("conv2",)]
    assert neurons[1].neuron.shares_state_with == neurons[0].name
    first, second = (np.stack([step[index].numpy() for step in seen[-3:]]) for index in (0, 1))
    assert np.array_equal(dense_of(bundle, "conv2"), first)
    assert np.array_equal(dense_of(bundle, "conv3"), second)


def test_sew_residual_gives_integer_spikes(user_lif, dense_of):
    class Block(nn.Module):
        """Spike-element-wise ADD: the sum of two binary maps is 0, 1 or 2."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 4, 3, padding=1) for c in (1, 4, 4))
            self.lif1, self.lif2 = user_lif(threshold=0.2), user_lif(threshold=0.1)

        def forward(self, x):
            first = self.lif1(self.conv1(x))
            return self.conv3(self.lif2(self.conv2(first)) + first)

    bundle = trace(Block().eval(), torch.rand(3, 1, 6, 6), timesteps=3)
    add = next(o for o in bundle.workload.graph.operations if o.kind == "add")
    assert sorted(add.inputs) == ["lif1", "lif2"]
    assert op(bundle, "conv3").in_types[0].kind == "uint"
    record = bundle.trace["conv3"]
    assert (record.kind, record.planes) == ("uint", 2)
    assert set(np.unique(dense_of(bundle, "conv3"))) == {0.0, 1.0, 2.0}


def test_membrane_shortcut_adds_currents(user_lif):
    class Block(nn.Module):
        """MS-ResNet: the shortcut joins before the neuron, so nothing but binary spikes is multiplied."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 4, 3, padding=1) for c in (1, 4, 4))
            self.lif1, self.lif2 = user_lif(threshold=0.2), user_lif(threshold=0.2)

        def forward(self, x):
            current = self.conv1(x)
            current = self.conv2(self.lif1(current)) + current
            return self.conv3(self.lif2(current))

    bundle = trace(Block().eval(), torch.rand(3, 1, 6, 6), timesteps=3)
    add = next(o for o in bundle.workload.graph.operations if o.kind == "add")
    assert sorted(add.inputs) == ["conv1", "conv2"]
    assert op(bundle, "lif2").inputs == (add.name,)
    assert bundle.trace["conv3"].kind == "binary"


def test_grouped_depthwise_and_dilated_convolutions(user_lif, capture, dense_of):
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2),
        user_lif(threshold=0.2),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        user_lif(threshold=0.1),
        nn.Conv2d(8, 6, (3, 1), stride=(2, 1), padding=(1, 0)),
    ).eval()
    images = torch.rand(2, 4, 9, 7)
    bundle = trace(net, images, timesteps=2)
    specs = [o.spec for o in bundle.workload.graph.weighted]
    assert [(s.groups, s.kernel, s.dilation) for s in specs] == [
        (2, (3, 3), (1, 1)),
        (8, (3, 3), (2, 2)),
        (1, (3, 1), (1, 1)),
    ]
    assert specs[2].stride == (2, 1)
    assert bundle.workload.graph.weighted[2].out_shape == (6, 5, 7)


def test_a_neuron_written_inside_forward_is_found(dense_of):
    class Inline(nn.Module):
        def __init__(self, reset):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.fc = nn.Linear(4 * 6 * 6, 2)
            self.reset = reset
            self.seen = []

        def forward(self, x):
            mem1, mem2, outputs = torch.zeros(1), torch.zeros(1), []
            static = self.conv1(x)
            self.seen = []
            for _ in range(4):
                mem1 = 0.5 * mem1 + static
                spk1 = (mem1 >= 0.3).float()
                mem1 = mem1 * (1 - spk1) if self.reset == "hard" else mem1 - 0.3 * spk1
                mem2 = mem2 + (self.conv2(spk1) - mem2) / 2
                spk2 = (mem2 > 0.05).float()
                mem2 = torch.where(spk2.bool(), torch.zeros_like(mem2), mem2)
                self.seen.append((spk1, spk2))
                outputs.append(self.fc(spk2.flatten(1)))
            return torch.stack(outputs)

    for reset in ("hard", "soft"):
        net = Inline(reset).eval()
        with pytest.warns(TraceWarning, match="nothing tells its parameters"):
            bundle = trace(net, torch.rand(2, 1, 6, 6), timesteps=4)
        assert list(kinds(bundle).values()) == ["conv2d", "neuron", "conv2d", "neuron", "flatten", "linear"]
        with torch.no_grad():
            net(torch.from_numpy(bundle.samples["inputs"]))
        assert np.array_equal(dense_of(bundle, "conv2"), np.stack([spikes.numpy() for spikes, _ in net.seen]))
        assert np.array_equal(dense_of(bundle, "fc"), np.stack([spikes.flatten(1).numpy() for _, spikes in net.seen]))
        first, second = (op.neuron for op in bundle.workload.graph.operations if op.kind == "neuron")
        assert (first.leak, first.threshold, first.reset, first.compare) == (0.5, 0.3, reset, ">=")
        assert (second.leak, second.input_gain, second.reset, second.compare) == (0.5, 0.5, "hard", ">")


def test_recurrence_is_described_as_a_delay(user_lif, dense_of):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.rec, self.lif, self.out = (
                nn.Linear(6, 8),
                nn.Linear(8, 8),
                user_lif(threshold=0.2),
                nn.Linear(8, 3),
            )
            self.last = None

        def reset_state(self):
            self.last = None

        def forward(self, x):
            last = torch.zeros(len(x), 8) if self.last is None else self.last
            self.last = self.lif(self.fc(x) + self.rec(last))
            return self.out(self.last)

    with pytest.warns(TraceWarning, match="feedback from 'lif'"):
        bundle = trace(Recurrent().eval(), torch.rand(2, 6), timesteps=4, layout="step")
    fed_back = dense_of(bundle, "rec")
    assert not fed_back[0].any()
    assert np.array_equal(fed_back[1:], dense_of(bundle, "out")[:-1])


def test_uncaptured_products_are_named_with_their_share(user_lif):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.lif = user_lif(threshold=0.2)
            self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
            self.fc = nn.Linear(4 * 12 * 12, 2)

        def forward(self, x):
            return self.fc(self.up(self.lif(self.conv(x))).flatten(1))

    captured, lost = 36 * 36 + 576 * 2, 36 * 64  # conv + fc, and each of 6x6 inputs meets 4x4x2x2 weights
    share = f"{captured / (captured + lost):.1%}"
    with pytest.warns(TraceWarning, match=f"not captured: convolution in 'up'; the trace covers {share} of"):
        bundle = trace(Net().eval(), torch.rand(2, 1, 6, 6), timesteps=2)
    assert kinds(bundle)["up.convolution"] == "opaque"
    assert bundle.trace["fc"].kind == "real"


@pytest.mark.parametrize("images", [1, 2, 3])
def test_layouts_of_one_network_give_one_trace(images, dense_of):
    snn = pytest.importorskip("accelsim.snn")
    net = snn.digits_net(timesteps=3).eval()
    frames = torch.rand(images, 1, 16, 16) * 3
    bundle = trace(net, frames, timesteps=3)
    recorded = snn.record(net, frames)
    assert sorted(bundle.trace) == sorted(f"layers.{name}" for name in recorded.trace)
    for name in recorded.trace:
        expected = recorded.trace[name].dense()
        assert np.array_equal(dense_of(bundle, f"layers.{name}"), np.broadcast_to(expected, (3, *expected.shape[1:])))
    assert np.array_equal(bundle.samples["logits"], recorded.logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "TNN"}, "found 'TNN', allowed: auto, TN, NT, step, N; did you mean 'TN'?"),
        ({"level": "spike"}, "found 'spike', allowed: stats, spikes; did you mean 'spikes'?"),
        ({"images": 0}, "found 0, allowed: 'all' or a number"),
        ({"timesteps": None}, "number of timesteps must be given"),
        ({"timesteps": 0}, "found 0, must be a whole number"),
        ({"layout": "TN"}, "takes dimension 0 of x as time, but x has shape"),
        ({"labels": ["cat", "dog"]}, "labels: expected whole numbers, found <U3"),
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


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_sums_of_spikes_pooled_to_codes_of_256_stay_integers(user_lif, dense_of, gain):
    class Sew(nn.Module):
        """Four residual sums of spikes, averaged over 8 x 8: codes up to 4 x 64."""

        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(1 if i == 0 else 2, 2, 3, padding=1) for i in range(4))
            self.lifs = nn.ModuleList(user_lif(threshold=0.05) for _ in range(4))
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

        def forward(self, x):
            total = self.lifs[0](self.convs[0](x))
            for conv, lif in zip(self.convs[1:], self.lifs[1:], strict=True):
                total = total + lif(conv(total))
            return self.fc(self.pool(total).flatten(1))

    net = Sew().eval()
    for conv in net.convs:
        conv.weight.data.abs_()
        conv.bias.data.fill_(gain)
    bundle = trace(net, torch.rand(2, 1, 8, 8), timesteps=2)
    record = bundle.trace["fc"]
    assert (record.kind, record.planes, record.scale) == ("uint", 9, 1 / 64)
    assert op(bundle, "fc").in_types[0].max_value == 256
    if gain > 1:
        assert dense_of(bundle, "fc").max() == 4


def test_a_misspelt_precision_is_refused_before_the_network_runs(small_net):
    with pytest.raises(InputError, match="did you mean 'weight_bits'"):
        trace(small_net, torch.rand(2, 2, 8, 8), timesteps=2, precision={"weight_bit": 4})
