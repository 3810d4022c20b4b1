"""Latency of a packet that meets no other, exactly: stages in closed form, credits by recurrence where they bind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.compiled import njit
from accelsim.core.types import FloatArray, IntArray
from accelsim.noc.state import Delays, delays_of
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec


def unloaded_latency(
    mesh: Mesh, spec: NocSpec, source: npt.ArrayLike, destination: npt.ArrayLike, flits: npt.ArrayLike
) -> FloatArray:
    """Cycles from the start of a packet to the arrival of its tail in an empty network, [n]."""
    return unloaded_by_hops(spec, mesh.hops(source, destination), flits)


def unloaded_by_hops(spec: NocSpec, hops: npt.ArrayLike, flits: npt.ArrayLike) -> FloatArray:
    """Cycles for packets over `hops` links (one router more), [n].

    With R = hops + 1 routers: inject + R (routing + vc_alloc) + hops x flit + eject + (flits - 1), where `flit` and
    `eject` go from a switch grant to the next router or the tile (`Delays`). Buffers smaller than the round trip
    of a credit stretch a longer packet; then the same stages are followed flit by flit.
    """
    d = delays_of(spec)
    hops, flits = np.broadcast_arrays(np.asarray(hops, np.int64), np.asarray(flits, np.int64))
    head = d.routing + d.vc_alloc
    cycles = np.array(d.inject + (hops + 1) * head + hops * d.flit + d.eject + flits - 1, np.float64)
    bound = (flits > spec.buffer_flits) & (spec.buffer_flits < credit_loop(d))
    if bound.any():
        kinds, which = np.unique(np.stack((hops[bound], flits[bound])), axis=1, return_inverse=True)
        delays = np.array(d, np.int64)
        exact = [float(follow(links, length, spec.buffer_flits, delays)) for links, length in kinds.T.tolist()]
        cycles[bound] = np.asarray(exact)[which.reshape(-1)]
    return cycles


def credit_loop(d: Delays) -> int:
    """Flits that cover the longest round trip of a credit: with so many places a lone packet never waits."""
    head = d.routing + d.vc_alloc
    return max(d.inject + head + d.source_credit, d.flit + head + d.credit, d.eject + d.eject_credit)


def follow_plainly(hops: int, flits: int, places: int, d: IntArray) -> Any:
    """The recurrence: a flit leaves a stage when it is there, its forerunner has left, and a place is free ahead.

    It is linear in (max, +) and every loop of waiting holds one flit or `places` of them, so that sooner or later
    each `places` flits take the same time as those before, at every stage; from then on all of them are skipped.
    """
    routing, vc_alloc, flit, credit, inject, source_credit, eject, eject_credit = d
    last = hops + 1  # stage 0 is the tile, 1 to last the routers, then the tile again
    left = np.zeros((places, last + 2), np.int64)  # of the latest `places` flits
    block, skipped, i = np.zeros((places, last + 2), np.int64), 0, 0
    while i < flits:
        if i % places == 0:
            gain = left - block
            if i > places and skipped == 0 and flits - i >= places and (gain == gain[0, 0]).all():
                periods = (flits - i) // places
                skipped, flits = periods * gain[0, 0], flits - periods * places
                continue
            block[:] = left
        row, before = i % places, (i - 1) % places
        ready = 0
        for stage in range(last + 2):
            now = ready
            if i == 0 and 1 <= stage <= last:
                now += routing + vc_alloc
            if i > 0 and stage <= last:
                now = max(now, left[before, stage] + 1)
            if i >= places and stage <= last:
                back = source_credit if stage == 0 else (eject_credit if stage == last else credit)
                now = max(now, left[row, stage + 1] + back)
            left[row, stage] = now
            ready = now + (inject if stage == 0 else (eject if stage == last else flit))
        i += 1
    return left[(flits - 1) % places, last + 1] + skipped


follow: Callable[[int, int, int, IntArray], Any] = njit()(follow_plainly)
