"""Latency and throughput against BookSim 2, record for record (configurations stand in the reference file).

Both sides are samples of random traffic: at the lowest rates a record holds some 1,200 packets, and its own
accepted rate lies 4.5 % above the rate asked for.
"""

import pytest

from accelsim.noc.curve import latency_curve
from accelsim.noc.load import LoadResult, load_test
from accelsim.noc.patterns import pattern
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec
from tests import golden

RECORDS = golden.document("booksim.json")["results"]


def name(record):
    return f"{record['k']}x{record['k']}-{record['traffic']}-{record['ps']}flit-{record['rate']}"


def family(record):
    return record["k"], record["traffic"], record["ps"]


def measured(record, **periods) -> LoadResult:
    mesh = Mesh(record["k"], record["k"])
    spec = NocSpec(vcs=record["vcs"], buffer_flits=record["buf"])  # delays of the records are the defaults
    return load_test(mesh, spec, pattern(record["traffic"], mesh), record["rate"], record["ps"], 7, **periods)


@pytest.mark.parametrize("record", [r for r in RECORDS if not r["unstable"]], ids=name)
def test_latency_and_throughput_below_saturation(record):
    ours = measured(record)
    assert not ours.saturated
    assert ours.mean_packet_latency_cycles == pytest.approx(record["packet_latency"], rel=0.05)
    assert ours.mean_network_latency_cycles == pytest.approx(record["network_latency"], rel=0.05)
    assert ours.accepted_flit_rate == pytest.approx(record["accepted_flit_rate"], rel=0.05)
    assert ours.injected_flit_rate == pytest.approx(record["injected_flit_rate"], rel=0.05)
    assert ours.mean_hops + 1 == pytest.approx(record["hops"], rel=0.05)  # BookSim counts routers


@pytest.mark.parametrize("record", [r for r in RECORDS if r["unstable"]], ids=name)
def test_diverges_where_booksim_does(record):
    deep = any(r["unstable"] and family(r) == family(record) and r["rate"] < record["rate"] for r in RECORDS)
    ours = measured(record, **({"warm_up": 2000, "measure": 4000} if deep else {}))
    assert ours.saturated
    assert ours.accepted_flit_rate < 0.98 * ours.offered_flit_rate


@pytest.mark.parametrize(("k", "traffic", "ps"), [(4, "uniform", 1), (4, "transpose", 4)])
def test_saturation_lies_between_the_last_stable_and_the_first_unstable_record(k, traffic, ps):
    rates = {r["rate"]: r["unstable"] for r in RECORDS if family(r) == (k, traffic, ps)}
    stable = max(rate for rate, diverged in rates.items() if not diverged)
    unstable = min(rate for rate, diverged in rates.items() if diverged)
    mesh = Mesh(k, k)
    curve = latency_curve(mesh, NocSpec(vcs=1), pattern(traffic, mesh), ps, warm_up=5000, measure=5000)
    assert stable <= curve.saturation_rate < unstable
