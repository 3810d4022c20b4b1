"""Networks layer by layer, batch-norm folding, and the description of layers for a workload file."""

import pytest
import torch
from torch import nn

from accelsim.core.errors import InputError
from accelsim.training.export import describe_layers, export_bundle, record
from accelsim.training.models import SpikingNet, digits_net, fold_batchnorm
from accelsim.training.neuron import LIF
from accelsim.workload import Bundle


def randomised(net: SpikingNet, seed: int = 0) -> SpikingNet:
    """Batch-norms with statistics and affine parameters that are not the identity."""
    generator = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            for tensor, low, high in (
                (layer.running_mean, -0.5, 0.5),
                (layer.running_var, 0.2, 2.0),
                (layer.weight.data, 0.5, 2.0),
                (layer.bias.data, -0.2, 0.8),
            ):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return net.eval()


def odd_net() -> SpikingNet:
    """Everything the digits network has not: groups, strides, average pooling, soft reset, a bias before a norm."""
    return SpikingNet(
        {
            "conv1": nn.Conv2d(2, 4, (3, 5), stride=(1, 2), padding=(1, 2)),
            "bn1": nn.BatchNorm2d(4),
            "lif1": LIF(),
            "pool": nn.AvgPool2d(2),
            "conv2": nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2, bias=False),
            "lif2": LIF(leak=0.25, reset="soft"),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(6 * 4 * 3, 8),
            "bn2": nn.BatchNorm1d(8),
            "lif3": LIF(leak=1.0),
            "fc2": nn.Linear(8, 3, bias=False),
        },
        timesteps=3,
    )


def test_logits_have_timesteps_first_and_differ_over_time():
    logits = randomised(digits_net())(torch.rand(5, 1, 16, 16))
    assert logits.shape == (4, 5, 10)
    assert not torch.equal(logits[0], logits[1])


def test_the_whole_network_equals_a_loop_over_timesteps():
    """Layer by layer over all timesteps is only a cheaper order of the usual step-by-step run."""
    net = randomised(digits_net())
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    membranes: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for step in range(4):
            value = images
            for name, layer in net.layers.items():
                if isinstance(layer, LIF):
                    membrane = 0.5 * membranes.get(name, torch.zeros_like(value)) + value
                    value = (membrane >= 1.0).float()
                    membranes[name] = membrane * (1 - value)
                else:
                    value = layer(value)
            assert torch.allclose(value, net(images)[step], atol=1e-5)


def test_a_net_without_spikes_or_time_is_refused():
    with pytest.raises(ValueError, match="LIF"):
        SpikingNet({"fc": nn.Linear(2, 2)}, 1)
    with pytest.raises(ValueError, match="timesteps"):
        SpikingNet({"lif": LIF()}, 0)


def test_folding_keeps_the_currents_and_the_original():
    net = randomised(odd_net())
    images = torch.rand(4, 2, 8, 12, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_batchnorm(net)
    assert not any(isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d) for layer in folded.modules())
    steps = {step.name: step.output for step in net.steps(images[None])}
    folded_steps = {step.name: step.output for step in folded.steps(images[None])}
    assert torch.allclose(steps["bn1"], folded_steps["conv1"], atol=1e-5)
    assert torch.allclose(steps["fc2"], folded_steps["fc2"], atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_norm_that_cannot_be_folded_is_named():
    stray = SpikingNet({"lif": LIF(), "norm": nn.BatchNorm2d(2)}, 1)
    with pytest.raises(InputError, match="'norm' does not follow"):
        fold_batchnorm(stray)
    batchwise = SpikingNet(
        {"conv": nn.Conv2d(1, 2, 1), "norm": nn.BatchNorm2d(2, track_running_stats=False), "lif": LIF()}, 1
    )
    with pytest.raises(InputError, match="running statistics"):
        fold_batchnorm(batchwise)


def test_what_is_exported_describes_the_network(tmp_path):
    torch.manual_seed(0)
    net = fold_batchnorm(randomised(odd_net()))
    images = torch.rand(4, 2, 8, 12)
    bundle = export_bundle(
        net, tmp_path / "odd", name="odd", description="", source="a test", images=images,
        labels=torch.zeros(4, dtype=torch.int64), precision={"weight_bits": 4},
    )  # fmt: skip
    workload = Bundle.load(tmp_path / "odd").workload
    assert workload.precision.weight_bits == 4
    operations = workload.graph.by_name
    for step in net.steps(images[None]):
        assert operations[step.name].out_shape == tuple(step.output.shape[2:]), step.name
        if isinstance(step.layer, nn.Conv2d | nn.Linear):
            assert torch.equal(torch.from_numpy(bundle.weights[f"{step.name}.weight"]), step.layer.weight)
            expected = step.input.detach().numpy()
            assert (bundle.trace[step.name].dense() == expected).all(), step.name
    assert {name: record.kind for name, record in bundle.trace.items()} == {
        "conv1": "real", "conv2": "uint", "fc1": "binary", "fc2": "binary",
    }  # fmt: skip
    assert bundle.trace["conv2"].scale == 0.25
    assert "conv2.bias" not in bundle.weights
    assert (operations["lif2"].neuron.leak, operations["lif2"].neuron.reset) == (0.25, "soft")
    assert operations["lif3"].neuron.model == "if"
    assert operations["lif1"].neuron.leak == 0.5


def test_pooled_spikes_are_coded_by_what_they_can_be():
    """With only silent or full windows on the sample, 1/4 is still the step and 4 the largest code."""
    net = SpikingNet(
        {
            "conv1": nn.Conv2d(1, 1, 1),
            "lif": LIF(),
            "pool": nn.AvgPool2d(2),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(4, 2),
        },
        timesteps=2,
    )
    nn.init.constant_(net.layers["conv1"].weight, 1.0)
    nn.init.constant_(net.layers["conv1"].bias, 0.0)
    full = torch.zeros(1, 1, 4, 4)
    full[0, 0, :2, :2] = 1.0
    pooled = record(net, full).trace["fc"]
    assert (pooled.kind, pooled.scale, pooled.planes) == ("uint", 0.25, 3)
    assert pooled.dense()[0, 0].tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU(),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AvgPool2d(3, padding=1, count_include_pad=False),
        nn.AvgPool2d(3, ceil_mode=True),
        nn.Flatten(start_dim=2),
    ],
    ids=repr,
)
def test_what_a_workload_file_cannot_say_is_refused(layer):
    with pytest.raises(InputError, match=r"layer 'odd': .* cannot be described"):
        describe_layers(SpikingNet({"odd": layer, "lif": LIF()}, 1))
