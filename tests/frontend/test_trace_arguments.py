"""What `trace`, `Tracer` and `replay` cannot take is refused by name; an error of the network's own is told as that."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from accelsim import AccelsimError, Tracer, replay, trace
from tests.arguments import COUNT, FLAG, NO_COUNT, NUMBERS, OBJECT, OBJECTS, TEXT, WORD

T, N, FEATURES = 4, 3, 16


class Neuron(nn.Module):
    """Integrate-and-fire with attributes of the usual names."""

    def __init__(self) -> None:
        super().__init__()
        self.leak, self.threshold, self.reset_mode, self.mem = 0.5, 0.1, "hard", None

    def reset_state(self) -> None:
        self.mem = None

    def forward(self, current: Tensor) -> Tensor:
        membrane = current if self.mem is None else self.leak * self.mem + current
        spikes = (membrane >= self.threshold).to(current.dtype)
        self.mem = membrane * (1 - spikes)
        return spikes


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 10), Neuron(), nn.Linear(10, 3)).eval()


def spikes() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((T, N, FEATURES)) < 0.4


def refused(call: Callable[[], Any]) -> AccelsimError:
    with pytest.raises(AccelsimError) as caught:
        call()
    return caught.value


# --- options --------------------------------------------------------------------------------------------------

LABELS = [*OBJECTS, "012", [1, 2], [0, [1]], [0.5, 1.5, 2.5], [None] * N, [[0, 1, 2]], {0, 1, 2}, 5]
PRECISION = [*OBJECTS, "8", 8, [8], [("weight_bits", 8)], {"weight_bit": 8}, {"weight_bits": 0}, {"weight_bits": "8"}]
PRECISION += [{"weight_bits": math.nan}, {"weight_bits": None}, {"weight_bits": 10**30}, {8: 8}]
WRONG: dict[str, list[Any]] = {
    "timesteps": NO_COUNT,
    "layout": WORD,
    "images": COUNT,
    "level": WORD,
    "fold_bn": FLAG,
    "reset": [value for value in WORD if not callable(value)],
    "labels": LABELS,
    "name": [value for value in TEXT if value is not None],
    "precision": PRECISION,
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_option_is_refused_by_name(key: str) -> None:
    for value in WRONG[key]:
        assert key in str(refused(lambda: trace(network(), spikes(), **{"timesteps": T, key: value})))  # noqa: B023


@pytest.mark.parametrize(("labels", "wrong"), [([0, 37, 38], 37), ([0, 1, 3], 3), ([-1, 0, 1], -1)])
def test_labels_are_classes_of_the_network(labels: list[int], wrong: int) -> None:
    line = f"labels: found {wrong} for image {labels.index(wrong)}, the network has 3 classes, 0 to 2"
    assert str(refused(lambda: trace(network(), spikes(), timesteps=T, labels=labels))) == line
    net = network()
    with Tracer(net) as tracer:
        for frame in torch.from_numpy(spikes()).float():
            net(frame)
            tracer.step()
    assert str(refused(lambda: tracer.bundle(samples={"labels": labels}))) == line


def test_labels_of_images_that_are_left_out_are_not_looked_at() -> None:
    assert trace(network(), spikes(), timesteps=T, images=1, labels=[2, 37, 38]).samples["labels"].tolist() == [2]


@pytest.mark.parametrize("key", [key for key in WRONG if key != "labels"])
def test_a_tracer_says_the_same(key: str) -> None:
    for value in WRONG[key]:
        assert key in str(refused(lambda: Tracer(network(), **{key: value})))  # noqa: B023


@pytest.mark.parametrize("samples", [*OBJECTS, [1], "text", {1: 2}, {"labels": "text"}, {"labels": [[1], [1, 2]]}])
def test_samples_of_a_tracer_are_arrays_by_name(samples: Any) -> None:
    net = network()
    with Tracer(net) as tracer:
        for frame in torch.from_numpy(spikes()).float():
            net(frame)
            tracer.step()
    assert "samples" in str(refused(lambda: tracer.bundle(samples=samples)))


@pytest.mark.parametrize(
    "option",
    [
        {"timesteps": np.int64(T)},
        {"images": np.int32(N)},
        {"images": 10**6},
        {"labels": torch.tensor([0, 1, 2])},
        {"labels": [0, 1, 2]},
        {"precision": {"weight_bits": np.int16(8)}},
        {"layout": np.str_("step")},
        {"fold_bn": np.True_},
    ],
    ids=repr,
)
def test_numbers_of_numpy_are_numbers(option: dict[str, Any]) -> None:
    plain = trace(network(), spikes(), timesteps=T)
    assert trace(network(), spikes(), **{"timesteps": T, **option}).trace.digest() == plain.trace.digest()


# --- inputs ---------------------------------------------------------------------------------------------------

FLOAT = spikes().astype(np.float32)


@pytest.mark.parametrize(
    "x",
    [
        spikes(),
        *(spikes().astype(kind) for kind in ("u1", "i1", "<u2", "i4", "i8", "f2", "f4", "f8", ">f4", "g")),
        np.asfortranarray(FLOAT),
        FLOAT[:, :, ::-1][:, :, ::-1],
        torch.from_numpy(spikes()),
        torch.from_numpy(FLOAT).half(),
        torch.from_numpy(FLOAT).requires_grad_(),
    ],
    ids=lambda x: str(x.dtype),
)
def test_spikes_come_as_numbers_of_any_type(x: Any) -> None:
    assert trace(network(), x, timesteps=T).trace.digest() == trace(network(), FLOAT, timesteps=T).trace.digest()


@pytest.mark.parametrize(
    "x",
    [
        *OBJECT,
        FLOAT.tolist(),
        FLOAT.astype(object),
        FLOAT.astype(str),
        FLOAT + 0j,
        np.full_like(FLOAT, math.nan),
        np.where(FLOAT == 1, math.inf, 0),
        np.full(FLOAT.shape, 1e300),
        np.zeros((0, N, FEATURES)),
        np.zeros(FEATURES),
        torch.from_numpy(FLOAT).to_sparse(),
        torch.zeros(T, N, FEATURES, device="meta"),
        torch.zeros(T, N, FEATURES, dtype=torch.complex64),
        torch.quantize_per_tensor(torch.from_numpy(FLOAT), 0.1, 0, torch.qint8),
        torch.nested.nested_tensor([torch.zeros(2, FEATURES), torch.zeros(3, FEATURES)]),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_is_no_input_is_refused(x: Any) -> None:
    assert str(refused(lambda: trace(network(), x, timesteps=T))).startswith("x: ")


# --- networks -------------------------------------------------------------------------------------------------


def changed(value: float, tensor: str = "weight") -> nn.Module:
    net = network()
    getattr(net[2], tensor).data.view(-1)[1] = value
    return net


def normed(value: float) -> nn.Module:
    net = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8)).eval()
    net[1].running_var[3] = value
    return net


def fake() -> nn.Module:
    with torch._subclasses.fake_tensor.FakeTensorMode():
        return nn.Linear(FEATURES, 3)


def double(value: float) -> nn.Module:
    net = network().double()
    net[0].weight.data[0, 0] = value
    return net


def sparse() -> nn.Module:
    net = network()
    net[0].weight = nn.Parameter(net[0].weight.data.to_sparse())
    return net


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: changed(math.nan), "model.2.weight"),
        (lambda: changed(math.inf), "model.2.weight"),
        (lambda: changed(-math.inf, "bias"), "model.2.bias"),
        (lambda: double(1e300), "model.0.weight"),
        (lambda: normed(math.nan), "model.1.running_var"),
        (lambda: nn.Linear(FEATURES, 3, device="meta"), "model.weight"),
        (fake, "model.weight"),
        (lambda: nn.LazyLinear(3), "model.weight"),
        (lambda: nn.Linear(FEATURES, 3, dtype=torch.complex64), "model.weight"),
        (sparse, "model.0.weight"),
        *((lambda value=value: value, "model") for value in OBJECT),
        (lambda: nn.Linear, "model"),
        (lambda: lambda x: x, "model"),
    ],
)
def test_weights_that_are_no_numbers_are_named(make: Callable[[], Any], where: str) -> None:
    assert str(refused(lambda: trace(make(), FLOAT, timesteps=T))).startswith(f"{where}: ")
    assert str(refused(lambda: Tracer(make()))).startswith(f"{where}: ")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_precision_are_traced(kind: torch.dtype) -> None:
    first = next(iter(trace(network().to(kind), spikes(), timesteps=T).trace.values()))
    assert (first.dense() == spikes()).all()


class Own(nn.Module):
    """Fails in its own way, in a block of its own, at the second call."""

    def __init__(self, error: Exception, calls: int = 0) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(FEATURES, 3), Failing(error, calls))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Failing(nn.Module):
    def __init__(self, error: Exception, calls: int) -> None:
        super().__init__()
        self.error, self.calls = error, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise self.error
        return x


ERRORS = [KeyError("mine"), ValueError("mine"), ZeroDivisionError("mine"), NotImplementedError("mine"), OSError("mine")]


@pytest.mark.parametrize("layout", ["auto", "TN", "NT", "step", "N"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_of_the_network_is_its_own(error: Exception, layout: Any) -> None:
    x = FLOAT[0] if layout == "N" else FLOAT.swapaxes(0, 1).copy() if layout == "NT" else FLOAT
    caught = refused(lambda: trace(Own(copy.copy(error)), x, timesteps=T, layout=layout))
    assert type(caught.__cause__) is type(error)
    assert "mine" in str(caught)
    assert "in 'inner.1' (test_trace_arguments.py:" in str(caught)
    assert type(error).__name__ in str(caught)


def test_a_later_call_that_fails_is_told_as_well() -> None:
    caught = refused(lambda: trace(Own(RuntimeError("third"), calls=3), FLOAT, timesteps=T, layout="step"))
    assert isinstance(caught.__cause__, RuntimeError)


def test_an_input_that_does_not_fit_names_the_layer() -> None:
    message = str(refused(lambda: trace(network(), np.zeros((T, N, 5), np.float32), timesteps=T)))
    assert message.startswith("model: the network's own forward failed in '0': RuntimeError: mat1 and mat2 shapes")


def test_a_reset_that_fails_is_named() -> None:
    def reset(_: nn.Module) -> None:
        raise LookupError("no membranes")

    caught = refused(lambda: trace(network(), FLOAT, timesteps=T, reset=reset))
    assert str(caught).startswith("reset: the network's own reset failed (test_trace_arguments.py:")
    assert isinstance(caught.__cause__, LookupError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_whoever_wants_to_stop_is_not_held_up(error: type[BaseException]) -> None:
    class Stopping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    with pytest.raises(error):
        trace(Stopping(), FLOAT, timesteps=T)


def test_a_refused_network_is_left_as_it_was() -> None:
    net = Own(KeyError("mine")).train()
    refused(lambda: trace(net, FLOAT, timesteps=T))
    assert net.training
    assert not net._forward_hooks


# --- replay ---------------------------------------------------------------------------------------------------


def test_replay_refuses_by_name() -> None:
    bundle = trace(network(), FLOAT, timesteps=T)
    good = {"workload": bundle.workload, "weights": bundle.weights, "inputs": FLOAT}
    replay(**good)
    wrong = {
        "workload": [*OBJECT, "digits_snn"],
        "weights": [*OBJECTS, [], "text", {1: 2}, {"fc.weight": "x"}, {"fc.weight": [[math.nan]]}],
        "inputs": [*NUMBERS, np.zeros(3), np.full_like(FLOAT, math.nan), FLOAT[:2]],
    }
    for key, values in wrong.items():
        for value in values:
            assert key in str(refused(lambda: replay(**{**good, key: value})))  # noqa: B023
    first = next(iter(bundle.weights))
    for shape in ((10,), (3, FEATURES), (), (10, FEATURES + 1)):
        odd = {**bundle.weights, first: np.zeros(shape, np.float32)}
        assert first in str(refused(lambda: replay(bundle.workload, odd, FLOAT)))  # noqa: B023
    longer = {**bundle.weights, first: bundle.weights[first][:, :, None, None]}  # as a convolution over everything
    assert (replay(bundle.workload, longer, FLOAT).outputs == replay(**good).outputs).all()
