"""Batch-norms that change over time (BNTT's one for each timestep): who reads a layer through which, and when.

A network may take its batch-norm from a list, `bn[t](conv(x))`, in a loop of its own, in a module that is called once
per timestep, or on slices of a tensor that holds all of them. Every reading of a weighted site is noted with its
timestep; where each timestep has its one batch-norm, what differs becomes a `time_affine` layer behind the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np
from torch import Tensor

from accelsim.core.errors import InputError, Problem
from accelsim.frontend.axes import Layout, has, whole
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.sites import Norm, Site, Use, Value
from accelsim.workload.affine import TimeAffine

Chain = tuple[Norm, ...]


# --- while the network runs -------------------------------------------------------------------------------


def sliced(value: Value, layout: Layout, step: int | None, token: int) -> Value:
    """A timestep of a value; `step` None where what is cut is not time."""
    if step is None:
        return replace(value, layout=layout, token=token)
    norms = (*value.by_step[step], *value.norms) if value.by_step else value.norms
    return replace(value, layout=layout, token=token, step=step, norms=norms, by_step=())


def joined(values: Sequence[Value], layout: Layout, token: int) -> Value | None:
    """Values of one site, each a timestep, along the axis of time; None where they are not in its order."""
    steps, turns = [value.step for value in values], [value.turn for value in values]
    if any(step is not None for step in steps) and steps != list(range(len(steps))):
        return None
    if len(set(turns)) > 1 and turns != list(range(turns[0], turns[0] + len(turns))):
        return None
    together = replace(values[0], layout=layout, token=token, step=None)
    if all(_same(value.norms, values[0].norms) for value in values):
        return together
    return replace(together, norms=(), by_step=tuple(value.norms for value in values))


def filled(recorder: Bookkeeping, part: Tensor, value: Value) -> None:
    """`whole[t] = value`: a tensor whose every timestep was filled is the value over time."""
    target, steps = part._base, recorder.time.size
    if target is None or recorder.stepwise or steps < 2 or target.shape != (steps, *part.shape):
        return
    step, inside = divmod(int(part.storage_offset() - target.storage_offset()), target.stride(0))
    if inside or has(value.layout, recorder.time):
        return
    found: dict[int, Value] = recorder.filling.setdefault(target, {})
    found[step] = value
    if len(found) == steps and len({id(one.site) for one in found.values()}) == 1:
        values = [found[place] for place in range(steps)]
        recorder.assign(target, joined(values, (whole(recorder.time), *value.layout), recorder.token()))


# --- afterwards -------------------------------------------------------------------------------------------


def chains_in_time(site: Site, timesteps: int) -> list[Chain] | None:
    """The batch-norms that a site's output is read through at each timestep; None where they are always the same.

    Raises:
        InputError: they change, but not as one for each timestep.
    """
    if len(site.chains) < 2:
        return None
    found: list[list[Chain]] = [[] for _ in range(timesteps)]
    beyond = False
    for use, step in _with_steps(site, timesteps):
        for place in range(timesteps) if step is None else [step]:
            if place >= timesteps:
                beyond = True
            elif not any(_same(use.norms, known) for known in found[place]):
                found[place].append(use.norms)
    if not beyond and all(_alike(chains, found[0]) for chains in found):
        return None
    wrong = next((step for step, chains in enumerate(found) if len(chains) != 1), None)
    if wrong is None and not beyond:
        return [chains[0] for chains in found]
    if sum(map(bool, site.chains)) < 2:  # one batch-norm, now used and now not: nothing changes over time
        return None
    raise _refused(site, found, wrong, timesteps)


def affine_of(chains: Sequence[Chain]) -> TimeAffine:
    """Batch-norms of each timestep, several in a row as one."""
    gains, offsets = [], []
    for chain in chains:
        gain, offset = np.ones(1), np.zeros(1)
        for norm in chain:
            gain, offset = gain * norm.gain, offset * norm.gain + norm.offset
        gains.append(gain)
        offsets.append(offset)
    return TimeAffine(*(np.stack(np.broadcast_arrays(*table)) for table in (gains, offsets)))


def common_path(chains: Sequence[Chain]) -> str:
    """The module that holds the batch-norms (an `nn.ModuleList`), "" where there is none."""
    steps = zip(*(chain[-1].path.split(".") for chain in chains if chain), strict=False)
    return ".".join(names[0] for names in takewhile(lambda names: len(set(names)) == 1, steps))


def _with_steps(site: Site, timesteps: int) -> list[tuple[Use, int | None]]:
    """Each use and its timestep, None for all of them.

    What is computed once and read again and again (a static image's layer before a loop) knows no timestep; its
    readings are those of one timestep after another where there are as many.
    """
    once = site.recordings and len(site.recordings[0].chunks) == 1
    unplaced = [use.token for use in site.uses if use.step is None and not use.every]
    order = {token: place for place, token in enumerate(dict.fromkeys(unplaced))}
    result: list[tuple[Use, int | None]] = []
    for use in site.uses:
        if use.step is not None or use.every:
            result.append((use, use.step))
        elif not once:
            result.append((use, use.turn))
        else:
            result.append((use, order[use.token] if len(order) == timesteps else None))
    return result


def _same(one: Chain, other: Chain) -> bool:
    return len(one) == len(other) and all(a.same_as(b) for a, b in zip(one, other, strict=True))


def _alike(one: Sequence[Chain], other: Sequence[Chain]) -> bool:
    """Whether two timesteps read through the same batch-norms."""
    return len(one) == len(other) and all(any(_same(a, b) for b in other) for a in one)


def _refused(site: Site, found: Sequence[Sequence[Chain]], wrong: int | None, timesteps: int) -> InputError:
    chains = [chain for step in found for chain in step]
    holder = common_path(chains) or next(chain[-1].path for chain in chains if chain)
    if wrong is None:
        what = f"in more than the {timesteps} timesteps of the network"
    elif not found[wrong]:
        what = f"not in timestep {wrong + 1} of {timesteps}"
    else:
        names = [" and ".join(norm.path for norm in chain) or "no batch-norm" for chain in found[wrong]]
        what = f"through {', '.join(names)} in timestep {wrong + 1}"
    message = (
        f"the batch-norms of '{holder}' change over time, but not as one for each timestep: the output of "
        f"'{site.path}' is read {what}; a workload holds one gain and offset of each channel and timestep"
    )
    return InputError(Problem(message, where=holder))
