"""Speed of the restated SATA tool: a whole VGG-16, beside the one loop of it in plain Python for a single layer.

The original takes minutes for such a network (its traces of every cycle go through files); it is not run here.
"""

from accelsim.studies.reproduce import sata_sim
from accelsim.studies.reproduce.kernels import flushed_fetches
from benchmarks.test_crossbar_speed import cpu_seconds
from tests.studies.test_sata_sim import VGG16, fetches_by_a_set

ONE_LAYER = (16, 16, 3, 3, 64, 1, 16, 2, 2000)


def test_vgg16_in_the_sata_tool(benchmark):
    compiled = cpu_seconds(lambda: flushed_fetches(*ONE_LAYER))
    plain = cpu_seconds(lambda: fetches_by_a_set(*ONE_LAYER), repeats=2)

    def fresh():
        sata_sim.cycle_stat.cache_clear()
        return sata_sim.simulate(VGG16, 4, 0.9)

    benchmark(fresh)
    benchmark.extra_info["plain Python over compiled, buffer of one layer"] = plain / compiled
    print(f"buffer of one layer: plain Python {plain:.3g} s, compiled {compiled:.3g} s, ratio {plain / compiled:.0f}")
