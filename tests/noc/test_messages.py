"""Laws of the cycle level: nothing lost, nothing stuck, the closed forms, and the plain-Python sibling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.noc.closed_form import analytical
from accelsim.noc.simulation import simulate
from accelsim.noc.topology import LOCAL, Mesh
from accelsim.noc.traffic import Messages, NocSpec
from accelsim.noc.unloaded import follow, follow_plainly, unloaded_latency
from tests.noc.strategies import meshes, messages, specs
from tests.oracles.noc import simulate_plainly

SEED = st.integers(0, 2**32)


@given(st.data(), SEED, st.integers(1, 120), st.integers(1, 10), st.sampled_from([0, 50]))
@settings(max_examples=40)
def test_equal_to_the_plain_sibling_cycle_for_cycle(data, seed, n, flits, cycles):
    mesh = data.draw(meshes(4))
    spec = data.draw(specs(mesh))
    sent = messages(mesh, seed, n, flits, cycles)
    assert np.array_equal(simulate(mesh, spec, sent).arrival_cycle, simulate_plainly(mesh, spec, sent))


@given(st.data(), SEED, st.integers(1, 9))
@settings(max_examples=15)
def test_routers_that_sleep_behind_a_hot_spot_miss_nothing(data, seed, flits):
    """All tiles send to one: nearly all routers wait for credits most of the time."""
    mesh = data.draw(meshes(4))
    spec = data.draw(specs(mesh))
    every = messages(mesh, seed, 8 * mesh.nodes, flits, 300)
    sent = Messages.of(every.source, seed % mesh.nodes, every.flits, every.cycle)
    assert np.array_equal(simulate(mesh, spec, sent).arrival_cycle, simulate_plainly(mesh, spec, sent))


@given(st.data(), SEED, st.integers(1, 600), st.integers(1, 40), st.sampled_from([0, 10, 1000]))
@settings(max_examples=60)
def test_every_flit_arrives_once_at_any_load(data, seed, n, flits, cycles):
    """`simulate` returns when all tails have arrived; a deadlock would raise."""
    mesh = data.draw(meshes())
    spec = data.draw(specs(mesh))
    sent = messages(mesh, seed, n, flits, cycles)
    run = simulate(mesh, spec, sent)
    assert run.flits == sent.flits.sum()
    assert np.array_equal(run.link_flits[:, LOCAL], np.bincount(sent.destination, sent.flits, mesh.nodes))
    assert np.array_equal(run.link_flits, mesh.link_loads(sent.source, sent.destination, sent.flits))
    assert run.flit_hops == (mesh.hops(sent.source, sent.destination) * sent.flits).sum()
    assert (run.latency_cycles >= unloaded_latency(mesh, spec, sent.source, sent.destination, sent.flits)).all()
    assert (run.network_latency_cycles <= run.latency_cycles).all()


@given(st.data(), SEED, st.integers(1, 40))
@settings(max_examples=60)
def test_far_apart_messages_take_the_closed_form_exactly(data, seed, flits):
    mesh = data.draw(meshes())
    spec = data.draw(specs(mesh))
    one = messages(mesh, seed, 25, flits, 0)
    apart = Messages.of(one.source, one.destination, one.flits, np.arange(25) * 5000)
    run, closed = simulate(mesh, spec, apart), analytical(mesh, spec, apart)
    assert np.array_equal(run.latency_cycles, closed.latency_cycles)
    assert np.array_equal(run.network_latency_cycles, closed.network_latency_cycles)
    assert np.array_equal(run.arrival_cycle, closed.arrival_cycle)
    assert np.array_equal(run.link_flits, closed.link_flits)
    assert run.finish_cycle == closed.finish_cycle


@given(st.data(), SEED, st.integers(1, 12), st.integers(20, 2000))
@settings(max_examples=60)
def test_where_the_closed_form_sees_no_contention_there_is_none(data, seed, flits, cycles):
    mesh = data.draw(meshes())
    spec = data.draw(specs(mesh))
    sent = messages(mesh, seed, 10, flits, cycles)
    closed = analytical(mesh, spec, sent)
    unloaded = unloaded_latency(mesh, spec, sent.source, sent.destination, sent.flits)
    if np.array_equal(closed.latency_cycles, unloaded):
        assert np.array_equal(simulate(mesh, spec, sent).latency_cycles, unloaded)


@given(st.integers(0, 6), st.integers(1, 60))
def test_unloaded_latency_of_the_default_router(hops, flits):
    """4 cycles per router and link, 2 on the way in, 4 on the last router and the way out, one per further flit."""
    mesh = Mesh(1, 7)
    assert unloaded_latency(mesh, NocSpec(), 0, hops, flits) == 4 * hops + 6 + flits - 1


def test_small_buffers_wait_for_credits():
    """One place per channel: between routers a flit leaves every 6 cycles (3 on the link, 3 for the credit)."""
    mesh, spec = Mesh(1, 4), NocSpec(vcs=1, buffer_flits=1)
    by_flits = [float(unloaded_latency(mesh, spec, 0, 3, n)) for n in range(4, 9)]
    assert np.diff(by_flits) == pytest.approx(6)
    run = simulate(mesh, spec, Messages.of(0, 3, 8))
    assert run.latency_cycles[0] == by_flits[-1]


@given(st.integers(0, 5), st.integers(1, 30), st.integers(1, 8), st.tuples(*[st.integers(1, 5)] * 8))
def test_compiled_recurrence_equals_python(hops, flits, places, delays):
    d = np.array(delays)
    assert follow(hops, flits, places, d) == follow_plainly(hops, flits, places, d)


def test_contention_waits_in_both_fidelities():
    mesh, spec = Mesh(4, 4), NocSpec()
    rng = np.random.default_rng(3)
    n = 4000
    sent = Messages.of(rng.integers(0, 16, n), rng.integers(0, 16, n), 4, rng.integers(0, 4000, n))
    run, closed = simulate(mesh, spec, sent), analytical(mesh, spec, sent)
    unloaded = unloaded_latency(mesh, spec, sent.source, sent.destination, 4)
    assert unloaded.mean() < closed.latency_cycles.mean()
    # A quarter packet per cycle and tile of 4 flits would fill the tiles: this is a quarter of that.
    assert closed.latency_cycles.mean() == pytest.approx(run.latency_cycles.mean(), rel=0.15)


def test_messages_of_a_tile_keep_their_order_and_take_a_flit_per_cycle():
    run = simulate(Mesh(1, 2), NocSpec(vcs=2), Messages.of([0, 0, 0], 1, [3, 2, 1], [5, 5, 0]))
    assert run.arrival_cycle.tolist() == [17, 19, 10]  # 10 cycles for the head; the third message starts first


def test_no_messages_take_no_time():
    none = Messages.of([], [], [], [])
    for run in (simulate(Mesh(2, 2), NocSpec(), none), analytical(Mesh(2, 2), NocSpec(), none)):
        assert run.finish_cycle == 0
        assert run.flits == 0


def test_multicast_and_split():
    sent = Messages.multicast([0, 3], [[1, 2], [0]], flits=[5, 2], cycle=7)
    assert sent.source.tolist() == [0, 0, 3]
    assert sent.destination.tolist() == [1, 2, 0]
    assert sent.flits.tolist() == [5, 5, 2]
    packets, owner = sent.split(2)
    assert packets.flits.tolist() == [2, 2, 1, 2, 2, 1, 2]
    assert owner.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert NocSpec(flit_bits=64).flits([0, 1, 64, 65]).tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        (([0, 4], 1), "messages[1].source"),
        ((0, [1, -1]), "messages[1].destination"),
        ((0, 1, [0]), "messages[0].flits"),
        ((0, 1, 1, [-2]), "messages[0].cycle"),
    ],
)
@pytest.mark.parametrize("run", [simulate, analytical])
def test_bad_messages_are_named(columns, place, run):
    with pytest.raises(InputError, match=place.replace("[", r"\[").replace("]", r"\]")):
        run(Mesh(2, 2), NocSpec(), Messages.of(*columns))


def test_columns_must_be_whole_numbers_of_one_length():
    with pytest.raises(InputError, match="lengths"):
        Messages.of([0, 1], [1, 2, 3])
    with pytest.raises(InputError, match="flits"):
        Messages.of(0, 1, 1.5)


def test_a_ring_needs_two_channels():
    with pytest.raises(InputError, match="torus"):
        simulate(Mesh(4, 4, torus=True), NocSpec(vcs=1), Messages.of(0, 1))


@pytest.mark.parametrize("bad", [{"vcs": 0}, {"vcs": 65}, {"buffer_flits": 0}, {"flit_bits": 0}, {"link_delay": 0}])
def test_impossible_networks_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        NocSpec(**bad)


def test_a_burst_waits_for_its_backlog():
    """Everything at once: the closed form is no queueing theory there, but it knows how much work lies ahead."""
    mesh, spec = Mesh(8, 8), NocSpec()
    sent = messages(mesh, 5, 5000, 8, 0)
    run, closed = simulate(mesh, spec, sent), analytical(mesh, spec, sent)
    assert closed.latency_cycles.mean() == pytest.approx(run.latency_cycles.mean(), rel=0.3)


@given(st.integers(0, 8), st.integers(1, 400), st.integers(1, 8), st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_skipping_what_repeats_changes_nothing(hops, flits, places, delays):
    """Long packets are not followed flit by flit to their end; against the recurrence that is."""
    d = np.array(delays, np.int64)
    routing, vc_alloc, flit, credit, inject, source_credit, eject, eject_credit = delays
    back = [source_credit, *[credit] * hops, eject_credit]
    ahead = [inject, *[flit] * hops, eject]
    left = np.zeros((flits, hops + 3), np.int64)
    for i in range(flits):
        ready = 0
        for stage in range(hops + 3):
            ready += routing + vc_alloc if i == 0 and 1 <= stage <= hops + 1 else 0
            if i > 0 and stage <= hops + 1:
                ready = max(ready, left[i - 1, stage] + 1)
            if i >= places and stage <= hops + 1:
                ready = max(ready, left[i - places, stage + 1] + back[stage])
            left[i, stage] = ready
            ready += ahead[stage] if stage <= hops + 1 else 0
    assert follow(hops, flits, places, d) == left[-1, -1]
