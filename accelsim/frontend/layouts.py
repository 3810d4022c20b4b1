"""How time enters a network: stated by the user, or found out by a trial run with two images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from accelsim.core.errors import AccelsimError, InputError, Problem
from accelsim.frontend.recorder import Recorder
from accelsim.frontend.weighted import CONVOLUTIONS


@dataclass(frozen=True)
class Plan:
    """How to run a network."""

    timesteps: int | None
    input_axes: tuple[str, ...]
    """Leading axes of the given input."""
    stepwise: bool
    """One call per timestep."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Leading axes of what one call of the network gets."""
        return ("N",) if self.stepwise else self.input_axes

    @property
    def over_time(self) -> bool:
        """Whether each call of a stepwise run gets another frame."""
        return self.stepwise and self.input_axes[:1] == ("T",)


def plan(model: nn.Module, x: Tensor, timesteps: int | None, layout: str, clear: Callable[[], None]) -> Plan:
    """Decide how to run `model` on `x`.

    Args:
        model: the network, in evaluation mode.
        x: its input.
        timesteps: T, if known, at least 1.
        layout: "TN", "NT", "step", "N" or "auto".
        clear: clears the membranes before a trial run.

    Raises:
        InputError: `x` does not fit the stated layout or timesteps, or "auto" cannot tell.
    """
    if layout in ("TN", "NT"):
        return Plan(_axis_size(x, 0 if layout == "TN" else 1, timesteps, layout), (layout[0], layout[1]), False)
    with_time = _has_time(model, x, timesteps)
    if layout == "step":
        if with_time:
            return Plan(_axis_size(x, 0, timesteps, layout), ("T", "N"), True)
        return Plan(_needed(timesteps), ("N",), True)
    if layout == "N":
        return Plan(_needed(timesteps), ("N",), False)
    return _found_out(model, x, timesteps, with_time, clear)


def _needed(timesteps: int | None) -> int:
    if timesteps is None:
        raise InputError(Problem("x has no time axis, so the number of timesteps must be given", where="timesteps"))
    return timesteps


def _axis_size(x: Tensor, axis: int, timesteps: int | None, layout: str) -> int:
    size = int(x.shape[axis])
    if timesteps is not None and size != timesteps:
        raise InputError(
            Problem(
                f"layout '{layout}' takes dimension {axis} of x as time, but x has shape {list(x.shape)} and "
                f"timesteps is {timesteps}",
                where="x",
            )
        )
    return size


def _has_time(model: nn.Module, x: Tensor, timesteps: int | None) -> bool:
    """Whether `x` has one dimension more than the first weighted module needs.

    A linear layer takes tokens as well, so there the sizes must fit, too.
    """
    for module in model.modules():
        if isinstance(module, CONVOLUTIONS):
            return x.dim() > module.weight.dim()
        if isinstance(module, nn.Linear):
            break
    flattens = any(isinstance(module, nn.Flatten) for module in model.modules())
    enough = x.dim() >= (5 if flattens else 3)
    return enough and (timesteps is None or timesteps in x.shape[:2])


def _found_out(model: nn.Module, x: Tensor, timesteps: int | None, with_time: bool, clear: Callable[[], None]) -> Plan:
    multi_step = any(getattr(module, "step_mode", None) == "m" for module in model.modules())
    if with_time:
        at = _time_dimension(x, timesteps)
        if at == 1:
            refusal = None if multi_step else _trial(model, x[:2], ("N", "T"), int(x.shape[1]), clear)
            if isinstance(refusal, Exception):
                raise InputError(
                    Problem(
                        f"x of shape {list(x.shape)} seems to be [images, timesteps, ...], and the network does not "
                        f"take it as a whole ({_first_line(refusal)}); if it computes one timestep per call, pass "
                        f"x.transpose(0, 1) with layout='step'",
                        where="x",
                    )
                ) from refusal
            return Plan(int(x.shape[1]), ("N", "T"), False)
        if multi_step:
            return Plan(int(x.shape[0]), ("T", "N"), False)
        trial = _trial(model, x[:, :2], ("T", "N"), int(x.shape[0]), clear)
        whole = isinstance(trial, Recorder) and trial.iterates_time
        return Plan(int(x.shape[0]), ("T", "N"), not whole)
    steps = _needed(timesteps)
    if multi_step:
        return Plan(steps, ("N",), False)
    trial = _trial(model, x[:2], ("N",), steps, clear)
    if isinstance(trial, Exception):
        raise InputError(
            Problem(
                f"the network cannot be run on x of shape {list(x.shape)} ({_first_line(trial)}); state layout= if its "
                f"first dimensions mean something else than images",
                where="x",
            )
        ) from trial
    lengths = [sum(chunk.timesteps for chunk in site.recordings[0].chunks) for site in trial.weighted]
    loops = steps > 1 and (any(length >= steps for length in lengths) or trial.iterates_time)
    return Plan(steps, ("N",), not loops)


def _time_dimension(x: Tensor, timesteps: int | None) -> int:
    """0 or 1; the first where both could be."""
    if timesteps is None or x.shape[0] == timesteps:
        return 0
    if x.shape[1] == timesteps:
        return 1
    raise InputError(
        Problem(
            f"neither of the first two dimensions of x, {list(x.shape)}, has timesteps={timesteps} entries", where="x"
        )
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _trial(
    model: nn.Module, x: Tensor, axes: tuple[str, ...], timesteps: int, clear: Callable[[], None]
) -> Recorder | Exception:
    """The recorder of a run on a few images, or the error with which the network refuses them."""
    clear()
    recorder = Recorder(model, axes, timesteps, stepwise=False, probing=True)
    try:
        with recorder:
            model(x)
    except AccelsimError:
        raise
    except Exception as error:  # the network's own, of whatever kind
        return error
    return recorder
