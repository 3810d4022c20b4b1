"""Networks and messages for property-based tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import Messages, NocSpec


@st.composite
def meshes(draw: st.DrawFn, largest: int = 5) -> Mesh:
    rows, cols = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return Mesh(rows, cols + (rows * cols == 1), draw(st.booleans()))


@st.composite
def specs(draw: st.DrawFn, mesh: Mesh) -> NocSpec:
    free = draw(st.booleans())  # odd delays, or the default router
    delay = {"routing": (0, 2), "vc_alloc": (1, 3), "sw_alloc": (1, 2), "st": (1, 2), "link": (1, 3), "local": (1, 2)}
    delays = {f"{name}_delay": draw(st.integers(*span)) for name, span in delay.items()} if free else {}
    return NocSpec(draw(st.integers(1 + mesh.torus, 5)), draw(st.integers(1, 9)), **delays)


def messages(mesh: Mesh, seed: int, n: int, flits: int, cycles: int) -> Messages:
    """Random ones: sizes 1 to `flits`, starts within `cycles`."""
    rng = np.random.default_rng(seed)
    source, destination = rng.integers(0, mesh.nodes, (2, n))
    return Messages.of(source, destination, rng.integers(1, flits + 1, n), rng.integers(0, cycles + 1, n))
