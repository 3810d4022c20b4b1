"""Speed of the network on chip in router-cycles per second, beside BookSim 2's own figures.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 pytest benchmarks/test_noc_speed.py -s

BookSim's times stand in tests/golden/booksim.json (wall seconds of the built tool, for the same
networks, loads and cycles); they were taken in another run, so the ratio compares two moments of one machine.
Ours are processor seconds of the loop on one core, best of several. Nothing is asserted about time.
"""

import time

import numpy as np
import pytest

from accelsim.noc.closed_form import analytical
from accelsim.noc.load import load_test
from accelsim.noc.patterns import pattern
from accelsim.noc.simulation import simulate
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import Messages, NocSpec
from tests import golden

STABLE = [record for record in golden.document("booksim.json")["results"] if not record["unstable"]]


@pytest.mark.parametrize("record", STABLE, ids=lambda r: f"{r['k']}x{r['k']}-{r['traffic']}-{r['ps']}flit-{r['rate']}")
def test_router_cycles_per_second(benchmark, record):
    mesh = Mesh(record["k"], record["k"])
    spec, traffic = NocSpec(vcs=record["vcs"], buffer_flits=record["buf"]), pattern(record["traffic"], mesh)

    def run():
        result = load_test(mesh, spec, traffic, record["rate"], record["ps"], seed=7)
        return result.router_cycles / result.cpu_s

    best = max(run() for _ in range(3))
    benchmark.pedantic(run, rounds=1)
    theirs = mesh.nodes * record["cycles"] / record["wall_s"]
    benchmark.extra_info.update(ours=best, booksim=theirs, ratio=best / theirs)
    print(f"\n{benchmark.name}: {best / 1e6:.1f} M router-cycles/s, BookSim {theirs / 1e6:.2f} M, {best / theirs:.1f}x")


def test_closed_form_beside_the_cycle_level(benchmark):
    """A layer's worth of spikes: 20,000 packets of 4 flits on 8 x 8 tiles."""
    rng, n = np.random.default_rng(0), 20_000
    mesh, spec = Mesh(8, 8), NocSpec()
    sent = Messages.of(rng.integers(0, 64, n), rng.integers(0, 64, n), 4, np.sort(rng.integers(0, 20_000, n)))

    def seconds(function):
        function(mesh, spec, sent)
        best = np.inf
        for _ in range(3):
            start = time.process_time()
            function(mesh, spec, sent)
            best = min(best, time.process_time() - start)
        return best

    cycle, closed = seconds(simulate), seconds(analytical)
    benchmark.pedantic(analytical, args=(mesh, spec, sent), rounds=3)
    benchmark.extra_info.update(cycle_ms=1e3 * cycle, closed_ms=1e3 * closed, ratio=cycle / closed)
    print(f"\n20,000 packets: cycle level {1e3 * cycle:.1f} ms, closed form {1e3 * closed:.1f} ms")
