"""The latency-throughput curve of a network, from an idle one to beyond saturation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accelsim.noc.closed_form import load_model
from accelsim.noc.load import MEASURED_CYCLES, WARM_UP_CYCLES, LoadResult, load_test
from accelsim.noc.patterns import Pattern
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec

# Shares of the rate at which the busiest link would be full; half of them usually saturate.
SHARES = (0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BISECTIONS = 3


@dataclass(frozen=True)
class Curve:
    """Load tests in the order of their rates."""

    points: list[LoadResult]

    @property
    def saturation_rate(self) -> float | None:
        """The highest rate with a steady state that was tried, packets per node and cycle."""
        steady = [point.rate for point in self.points if not point.saturated]
        return max(steady, default=None)

    @property
    def saturation_throughput(self) -> float:
        """The most flits per node and cycle that were accepted."""
        return max(point.accepted_flit_rate for point in self.points)


def latency_curve(
    mesh: Mesh,
    spec: NocSpec,
    traffic: Pattern,
    packet_flits: int = 1,
    seed: int = 0,
    warm_up: int = WARM_UP_CYCLES,
    measure: int = MEASURED_CYCLES,
    report: Callable[[str, int, int], None] | None = None,
) -> Curve:
    """Load tests at rising rates up to the first that saturates, then halving the gap to the one before.

    Raises:
        InputError: as `load_test`.
    """
    bound = min(load_model(mesh, spec, traffic, packet_flits).saturation_rate, 1.0)
    total = len(SHARES) + BISECTIONS
    points: list[LoadResult] = []

    def test(rate: float) -> bool:
        points.append(load_test(mesh, spec, traffic, rate, packet_flits, seed, warm_up, measure))
        if report is not None:
            report("load tests", len(points), total)
        return points[-1].saturated

    steady, full = 0.0, None
    for share in SHARES:
        if test(share * bound):
            full = share * bound
            break
        steady = share * bound
    for _ in range(BISECTIONS if full is not None else 0):
        middle = (steady + full) / 2  # type: ignore[operator]
        if test(middle):
            full = middle
        else:
            steady = middle
    return Curve(sorted(points, key=lambda point: point.rate))
