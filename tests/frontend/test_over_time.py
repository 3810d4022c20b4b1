"""Networks of the user's own with one batch-norm for each timestep: what the tracer makes of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.core.errors import InputError
from accelsim.frontend import Tracer, replay, trace
from tests.rounding import Reference
from tests.skips import peer

T, IMAGES = 4, 5


class Lif(nn.Module):
    """One timestep per call."""

    def __init__(self):
        super().__init__()
        self.threshold, self.leak, self.reset_mechanism, self.v = 1.0, 0.5, "zero", None

    def reset(self):
        self.v = None

    def forward(self, current):
        potential = current if self.v is None else self.leak * self.v + current
        fired = (potential >= self.threshold).float()
        self.v = potential * (1 - fired)
        return fired


class MultiLif(Lif):
    """All timesteps in one call."""

    def forward(self, current):
        self.v = None
        return torch.stack([super(MultiLif, self).forward(present) for present in current])


def norms(channels: int, number: int = T, bias: bool = True) -> nn.ModuleList:
    rng = torch.Generator().manual_seed(channels + number)
    made = nn.ModuleList([nn.BatchNorm2d(channels) for _ in range(number)])
    for norm in made:
        with torch.no_grad():
            norm.weight.copy_(torch.rand(channels, generator=rng) * 3 + 0.5)
            norm.running_mean.copy_(torch.randn(channels, generator=rng) * 0.2)
            norm.running_var.copy_(torch.rand(channels, generator=rng) * 0.2 + 0.02)
            norm.bias.copy_(torch.randn(channels, generator=rng) * 0.3)
        if not bias:
            norm.bias = None
    return made


class Loop(nn.Module):
    """Loops over time itself, as the published code of BNTT does; `order[t]` is the batch-norm of timestep t."""

    def __init__(self, order=tuple(range(T)), *, static=False, bias=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.bntt1, self.bntt2 = norms(4, max(order) + 1, bias), norms(6, max(order) + 1, bias)
        self.lif1, self.lif2, self.fc = Lif(), Lif(), nn.Linear(6 * 64, 3)
        self.order, self.static = order, static

    def forward(self, x):
        found = []
        once = self.conv1(x) if self.static else None
        for at in self.order:
            spikes = self.lif1(self.bntt1[at](once if self.static else self.conv1(x)))
            found.append(self.fc(self.lif2(self.bntt2[at](self.conv2(spikes))).flatten(1)))
        return torch.stack(found)


class Step(Loop):
    """One timestep per call, counted by itself."""

    def __init__(self):
        super().__init__()
        self.at = 0

    def reset(self):
        self.at = 0

    def forward(self, x):
        at, self.at = self.at, self.at + 1
        spikes = self.lif1(self.bntt1[at](self.conv1(x)))
        return self.fc(self.lif2(self.bntt2[at](self.conv2(spikes))).flatten(1))


class Bntt(nn.Module):
    """[timesteps, images, ...] in and out, timesteps taken apart and joined in one of the usual ways."""

    def __init__(self, channels, how):
        super().__init__()
        self.bns, self.how = norms(channels), how

    def forward(self, x):
        if self.how == "stack":
            return torch.stack([self.bns[t](x[t]) for t in range(len(x))])
        if self.how == "unbind":
            return torch.stack([norm(present) for norm, present in zip(self.bns, x.unbind(0), strict=True)])
        if self.how == "cat":
            return torch.cat([norm(part.squeeze(0))[None] for norm, part in zip(self.bns, x.split(1), strict=True)])
        if self.how == "negative":
            return torch.stack([self.bns[t](x[t - len(x)]) for t in range(len(x))])
        if self.how == "backwards":
            return torch.stack([self.bns[t](x[t]) for t in reversed(range(len(x)))])
        filled = torch.empty_like(x)
        for t in range(len(x)):
            filled[t] = self.bns[t](x[t])
        return filled


class Whole(nn.Module):
    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.bn1, self.bn2 = Bntt(4, how), Bntt(6, how)
        self.lif1, self.lif2, self.fc = MultiLif(), MultiLif(), nn.Linear(6 * 64, 3)

    def over(self, layer, x):
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def forward(self, x):
        spikes = self.lif1(self.bn1(self.over(self.conv1, x)))
        spikes = self.lif2(self.bn2(self.over(self.conv2, spikes)))
        return self.over(self.fc, spikes.flatten(2))


def reset(model):
    for module in model.modules():
        if hasattr(module, "reset"):
            module.reset()


def traced(model, x, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trace(model, x, reset=reset, **options)


def frames(over_time: bool = False):
    shape = (T, IMAGES, 1, 8, 8) if over_time else (IMAGES, 1, 8, 8)
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


def check(bundle, names) -> None:
    """The bundle's layers compute what the network did."""
    assert [op.name for op in bundle.workload.graph.operations if op.kind == "time_affine"] == names
    for name in ("conv2", "fc"):
        assert 0.05 < bundle.trace[name].dense().mean() < 0.95
    check_rounding(bundle)


def check_rounding(bundle) -> None:
    """The network's own run and a replay agree with the exact sums of the folded weights."""
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference.check(again.trace, again.outputs)
    reference.check(bundle.trace, bundle.samples["logits"])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("layout", ["N", "auto"])
def test_a_loop_over_time(static: bool, bias: bool, layout: str) -> None:
    bundle = traced(Loop(static=static, bias=bias).eval(), frames(), timesteps=T, layout=layout)
    check(bundle, ["bntt1", "bntt2"])
    assert bundle.weights["bntt1.gain"].shape == (T, 4)
    assert np.abs(bundle.weights["bntt2.gain"]).max() <= 1.0
    assert len(bundle.trace["conv1"].values) == 1  # the image is static, what is made of it is not


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 0, 2, 2), (0, 1, 1, 1)])
def test_any_order_of_the_list_is_that_of_its_timesteps(order: tuple[int, ...]) -> None:
    check(traced(Loop(order).eval(), frames(), timesteps=T, layout="N"), ["bntt1", "bntt2"])


def test_one_batch_norm_for_all_timesteps_stays_in_the_weights() -> None:
    bundle = traced(Loop((1,) * T).eval(), frames(), timesteps=T, layout="N")
    check(bundle, [])
    assert "conv2.bn_mean" in bundle.weights


@pytest.mark.parametrize("layout", ["step", "auto"])
def test_one_call_per_timestep(layout: str) -> None:
    check(traced(Step().eval(), frames(), timesteps=T, layout=layout), ["bntt1", "bntt2"])


def test_a_tracer_in_a_loop_of_the_users_own() -> None:
    model, images = Step().eval(), frames(over_time=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Tracer(model, timesteps=T, reset=reset) as tracer:
            for frame in images:
                model(frame)
                tracer.step()
        check(tracer.bundle(samples={"inputs": images.numpy()}), ["bntt1", "bntt2"])


@pytest.mark.parametrize("how", ["stack", "unbind", "cat", "negative", "filled"])
def test_a_layer_over_all_timesteps(how: str) -> None:
    bundle = traced(Whole(how).eval(), frames(over_time=True), layout="TN")
    check(bundle, ["bn1.bns", "bn2.bns"])


def test_timesteps_joined_backwards_are_no_affine_alone() -> None:
    bundle = traced(Whole("backwards").eval(), frames(over_time=True), layout="TN")
    kinds = {op.name: op.kind for op in bundle.workload.graph.operations}
    assert kinds["bn1.bns"] == "time_affine"
    assert "opaque" in kinds.values()  # the reversal itself


class Twice(Loop):
    def forward(self, x):
        found = []
        for at in range(T):
            current = self.conv1(x)
            one, other = self.lif1(self.bntt1[at](current)), self.lif2(self.bntt1[(at + 1) % T](current))
            found.append(self.fc(torch.cat([one, other], dim=1)[:, :6].flatten(1)))
        return torch.stack(found)


class Sometimes(Loop):
    def forward(self, x):
        found = []
        for at in range(T):
            current = self.conv1(x)
            spikes = self.lif1(self.bntt1[at](current) + (current if at == 2 else 0))
            found.append(self.lif2(self.bntt2[at](self.conv2(spikes))) + self.lif2(self.conv2(spikes)))
        return torch.stack(found)


@pytest.mark.parametrize("kind", [Twice, Sometimes])
def test_two_batch_norms_in_one_timestep_are_refused_by_name(kind: type) -> None:
    with pytest.raises(InputError, match=r"bntt\d: the batch-norms of 'bntt\d' change over time") as refusal:
        traced(kind().eval(), frames(), timesteps=T, layout="N")
    assert "'conv" in str(refusal.value)  # whose output it is


def test_unfolded_they_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"bntt1\.0.*not folded"):
        trace(Loop().eval(), frames(), timesteps=T, layout="N", reset=reset, fold_bn=False)


# --- the frameworks' own --------------------------------------------------------------------------------------


def trained_somehow(model: nn.Module) -> nn.Module:
    """Statistics and gains as a training might leave them."""
    rng = torch.Generator().manual_seed(7)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            with torch.no_grad():
                norm.weight.copy_(torch.rand(norm.num_features, generator=rng) * 3 + 1)
                norm.running_mean.copy_(torch.randn(norm.num_features, generator=rng) * 0.2)
                norm.running_var.copy_(torch.rand(norm.num_features, generator=rng) * 0.2 + 0.02)
    return model.eval()


@pytest.mark.parametrize(("mode", "layout"), [("s", "step"), ("s", "auto"), ("m", "TN"), ("m", "auto")])
def test_batch_norm_through_time_of_spikingjelly(mode: str, layout: str) -> None:
    peer("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron

    torch.manual_seed(0)
    model = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False), layer.BatchNormThroughTime2d(T, 4), neuron.LIFNode(),
        layer.Conv2d(4, 6, 3, padding=1), layer.BatchNormThroughTime2d(T, 6), neuron.LIFNode(),
        layer.Flatten(), layer.Linear(6 * 64, 3),
    )  # fmt: skip
    functional.set_step_mode(model, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bundle = trace(trained_somehow(model), frames(over_time=True), timesteps=T, layout=layout)
    names = [op.name for op in bundle.workload.graph.operations if op.kind == "time_affine"]
    assert names == ["norm_1.bn_list", "norm_4.bn_list"]
    for name in ("conv_3", "linear_7"):
        assert 0.02 < bundle.trace[name].dense().mean() < 0.98
    check_rounding(bundle)


class SnnTorch(nn.Module):
    """As in snnTorch's documentation of its `BatchNormTT2d`."""

    def __init__(self):
        import snntorch as snn

        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.bntt1, self.lif1 = nn.Conv2d(1, 4, 3, padding=1), snn.BatchNormTT2d(4, T), snn.Leaky(0.5)
        self.conv2, self.bntt2, self.lif2 = nn.Conv2d(4, 6, 3, padding=1), snn.BatchNormTT2d(6, T), snn.Leaky(0.5)
        self.fc = nn.Linear(6 * 64, 3)

    def forward(self, x):
        one, other, found = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(T):
            spikes, one = self.lif1(self.bntt1[step](self.conv1(x)), one)
            spikes, other = self.lif2(self.bntt2[step](self.conv2(spikes)), other)
            found.append(self.fc(spikes.flatten(1)))
        return torch.stack(found)


def test_batch_norm_through_time_of_snntorch() -> None:
    peer("snntorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bundle = trace(trained_somehow(SnnTorch()), frames(), timesteps=T, layout="N")
    check(bundle, ["bntt1", "bntt2"])
