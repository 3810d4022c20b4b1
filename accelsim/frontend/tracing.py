"""`trace` and `Tracer`: run a PyTorch network and keep what a machine model needs to know of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from accelsim.core.options import array, choice, flag, mapping, refuse, text
from accelsim.frontend import given
from accelsim.frontend.build import Options, build_bundle
from accelsim.frontend.layouts import Plan, plan
from accelsim.frontend.looking import host_array
from accelsim.frontend.recorder import Recorder
from accelsim.frontend.state import preserved, reset_model
from accelsim.workload.bundle import Bundle, TraceLevel

Layout = Literal["auto", "TN", "NT", "step", "N"]
Reset = Literal["auto", "none"] | Callable[[nn.Module], Any]


class TraceWarning(UserWarning):
    """Something about a trace that its user should know: an assumption, or what it does not cover."""


def trace(
    model: nn.Module,
    x: Tensor | npt.NDArray[Any],
    *,
    timesteps: int | None = None,
    layout: Layout = "auto",
    images: Literal["all"] | int = "all",
    level: TraceLevel = "spikes",
    fold_bn: bool = True,
    reset: Reset = "auto",
    labels: npt.ArrayLike | None = None,
    name: str | None = None,
    precision: Mapping[str, int] | None = None,
) -> Bundle:
    """Run a spiking network once and turn it into a bundle: layers, folded weights, spikes.

    The network runs in evaluation mode without gradients. It is not changed: mode, membranes, buffers, hooks
    and random states are afterwards what they were.

    Args:
        model: any PyTorch network; neurons of snnTorch, SpikingJelly, norse, sinabs and classes with usual
            attribute names are recognised, others by the spikes they emit.
        x: its input, [N, ...] or with time, [T, N, ...] or [N, T, ...].
        timesteps: T; may be left out where `x` has a time axis and the layout is stated.
        layout: "TN" or "NT": `x` has a time axis and the network takes it whole; "step": the network computes
            one timestep per call and is called T times, with x[t] or with the same x; "N": `x` has no time axis,
            the network loops over time itself; "auto": found out by a trial run with two images.
        images: how many of the images to use.
        level: "spikes" keeps every input spike, "stats" counts per timestep and image.
        fold_bn: fold batch-norms into the weights before them. The network itself runs with its
            batch-norms, so the recorded spikes are those of the network as trained.
        reset: "auto" clears membranes through the methods the usual frameworks have, "none" leaves them, or
            a function of the model that clears them.
        labels: classes of the images, [N], to be kept beside them; whole numbers from 0, less than the network has
            outputs.
        name: of the workload; the model's class name by default.
        precision: `weight_bits`, `membrane_bits`, `activation_bits` of the deployed network.

    Raises:
        InputError: an unknown option, weights or an input that are no finite numbers, an input that does not fit
            the layout, an error of the network's own (which is its cause), or a network in which nothing could be
            recorded.
    """
    model = given.network(model)
    source = given.source(x, model)
    choice(layout, given.LAYOUTS, "layout")
    steps, first, reset = given.steps(timesteps), given.kept_images(images), given.resetting(reset)
    options = _options(name, model, steps, level, fold_bn, precision)
    classes = None if labels is None else array(labels, "labels")
    told = _training_remarks(model)
    with preserved(model), torch.no_grad():
        model.eval()
        chosen = plan(model, source, steps, layout, lambda: _clear(model, reset, told))
        source = _first_images(source, chosen, first)
        _clear(model, reset, told)
        recorder = Recorder(model, chosen.axes, chosen.timesteps, stepwise=chosen.stepwise)
        with recorder, given.users_code(model):
            if chosen.stepwise:
                for step in range(chosen.timesteps or 1):
                    model(source[step] if chosen.over_time else source)
                    recorder.step()
            else:
                model(source)
    samples = _samples(recorder, source, chosen, classes)
    bundle, remarks = build_bundle(recorder, options, samples)
    _warn([*told, *remarks])
    return bundle


class Tracer(AbstractContextManager["Tracer"]):
    """Records a network that is called in a loop of the user's own (early exit, event streams)::

        with Tracer(model, timesteps=4) as tracer:
            for frame in frames:
                model(frame)
                tracer.step()
        bundle = tracer.bundle()

    Inside, the network runs in evaluation mode without gradients; on leaving, its mode, membranes, buffers and
    the random states are restored.

    Args:
        model: the network; call it, or its modules, as usual.
        timesteps: T, where it is known (a different number of steps is warned of).
        layout: "step": every `step()` ends a timestep; "TN", "NT", "N" as for `trace`, for one call.
        images: keep only the first of them.
        level: "spikes" or "stats".
        fold_bn: fold batch-norms into the exported weights.
        reset: how membranes are cleared on entering, as for `trace`.
        name: of the workload.
        precision: word widths of the deployed network.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        timesteps: int | None = None,
        layout: Layout = "step",
        images: Literal["all"] | int = "all",
        level: TraceLevel = "spikes",
        fold_bn: bool = True,
        reset: Reset = "auto",
        name: str | None = None,
        precision: Mapping[str, int] | None = None,
    ) -> None:
        if choice(layout, given.LAYOUTS, "layout") == "auto":
            raise refuse("a Tracer needs its layout stated: step, TN, NT or N", "layout")
        self.model = given.network(model)
        steps, keep = given.steps(timesteps), given.kept_images(images)
        self._options = _options(name, self.model, steps, level, fold_bn, precision)
        self._reset = given.resetting(reset)
        self._told: list[str] = []
        axes = {"TN": ("T", "N"), "NT": ("N", "T")}.get(layout, ("N",))
        self._recorder = Recorder(self.model, axes, steps, stepwise=layout == "step", images=keep)
        self._scope = ExitStack()

    def __enter__(self) -> Tracer:
        self._told = _training_remarks(self.model)
        with ExitStack() as scope:
            scope.enter_context(preserved(self.model))
            scope.enter_context(torch.no_grad())
            self.model.eval()
            _clear(self.model, self._reset, self._told)
            scope.enter_context(self._recorder)
            self._scope = scope.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._scope.__exit__(*details)
        self._recorder.settle()

    def step(self) -> None:
        """The timestep is over; the next call of the network belongs to the next one."""
        self._recorder.step()

    def bundle(self, *, samples: Mapping[str, npt.ArrayLike] | None = None) -> Bundle:
        """What was recorded, with `samples` (`inputs`, `labels`) to be kept beside it.

        Raises:
            InputError: nothing was recorded.
        """
        arrays = mapping({} if samples is None else samples, "samples", "a mapping of arrays by name")
        kept = {key: array(values, f"samples['{key}']") for key, values in arrays.items()}
        bundle, remarks = build_bundle(self._recorder, self._options, {**_logits(self._recorder), **kept})
        _warn([*self._told, *remarks])
        return bundle


# --- the edges --------------------------------------------------------------------------------------------


def _training_remarks(model: nn.Module) -> list[str]:
    if not any(module.training for module in model.modules()):
        return []
    return ["the model is in training mode; it was traced in evaluation mode (and put back)"]


def _clear(model: nn.Module, reset: Reset, told: list[str]) -> None:
    if callable(reset):
        given.call(reset, model, model, doing="reset")
    elif reset == "auto":
        stuck: list[str] = given.call(reset_model, model, model, doing="reset")
        if stuck:
            remark = (
                f"no way was found to clear the membranes of {', '.join(stuck)}; pass reset=a function of the model"
            )
            if remark not in told:
                told.append(remark)


def _first_images(source: Tensor, chosen: Plan, images: int | None) -> Tensor:
    if images is None:
        return source
    return source[:, :images] if chosen.input_axes[:2] == ("T", "N") else source[:images]


def _samples(
    recorder: Recorder, source: Tensor, chosen: Plan, labels: npt.NDArray[Any] | None
) -> dict[str, npt.NDArray[Any]]:
    inputs = host_array(source)
    if chosen.input_axes[:2] == ("N", "T"):
        inputs = np.moveaxis(inputs, 1, 0)
    if len(chosen.input_axes) == 2 and bool((inputs == inputs[:1]).all()):
        inputs = inputs[0]  # the same frame at every timestep
    samples = {"inputs": np.ascontiguousarray(inputs), **_logits(recorder)}
    if labels is not None:
        count = recorder.batch.size
        if labels.ndim != 1 or len(labels) < count:
            raise refuse(f"expected one label for each of {count} images, found shape {list(labels.shape)}", "labels")
        samples["labels"] = labels[:count]
    return samples


def _logits(recorder: Recorder) -> dict[str, npt.NDArray[Any]]:
    """Outputs per timestep, [T, N, ...], where the network has them; else its one output, [N, ...]."""
    outputs = [output for output in recorder.outputs if output is not None]
    if not outputs:
        return {}
    keep = recorder.images
    if recorder.stepwise:
        if len(outputs) == recorder.steps and len({output.shape for output in outputs}) == 1:
            stacked = np.stack(outputs)
            return {"logits": stacked[:, :keep] if keep else stacked}
        return {}
    only = outputs[-1]
    if only.ndim > 2 and only.shape[:2] == (recorder.time.size, recorder.batch.size):
        return {"logits": only[:, :keep] if keep else only}
    if only.ndim > 2 and only.shape[:2] == (recorder.batch.size, recorder.time.size):
        return {"logits": np.ascontiguousarray(np.moveaxis(only, 1, 0))[:, : keep or None]}
    return {"outputs": only[: keep or None]}


def _options(
    name: str | None,
    model: nn.Module,
    timesteps: int | None,
    level: TraceLevel,
    fold_bn: bool,
    precision: Mapping[str, int] | None,
) -> Options:
    """What the trace is to contain, checked before the network runs.

    Raises:
        InputError: an unknown level, a word width that cannot be, ...
    """
    choice(level, given.LEVELS, "level")
    named = type(model).__name__ if name is None else text(name, "name")
    return Options(named, timesteps, level, flag(fold_bn, "fold_bn"), precision)


def _warn(remarks: list[str]) -> None:
    for remark in dict.fromkeys(remarks):
        warnings.warn(remark, TraceWarning, stacklevel=3)
