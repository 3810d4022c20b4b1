"""Random traffic: what a load test measures, and its inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.noc.closed_form import load_model
from accelsim.noc.load import load_test
from accelsim.noc.patterns import PATTERNS, from_matrix, pattern
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec
from accelsim.noc.unloaded import unloaded_latency
from tests.noc.strategies import meshes, specs

SHORT = {"warm_up": 500, "measure": 2000}


@given(st.data(), st.sampled_from([0.002, 0.05, 0.5, 1.0, 3.0]), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=25)
def test_any_network_survives_any_load(data, rate, flits, seed):
    """No deadlock, no loss: below saturation all is accepted, above it the network keeps running."""
    mesh = data.draw(meshes(4))
    spec = data.draw(specs(mesh))
    result = load_test(mesh, spec, pattern("uniform", mesh), rate, flits, seed, warm_up=300, measure=600)
    assert result.accepted_flit_rate <= 1
    if rate * flits > 1:
        assert result.saturated
    if not result.saturated and result.packets:
        assert result.mean_network_latency_cycles <= result.mean_packet_latency_cycles
        assert result.mean_packet_latency_cycles <= result.percentiles["max"]


def test_the_same_seed_offers_the_same_traffic_to_every_network():
    mesh = Mesh(4, 4)
    runs = [load_test(mesh, NocSpec(vcs=v), pattern("uniform", mesh), 0.02, 2, 5, **SHORT) for v in (1, 4, 4)]
    assert runs[0].packets == runs[1].packets
    assert runs[1].mean_packet_latency_cycles == runs[2].mean_packet_latency_cycles
    other = load_test(mesh, NocSpec(vcs=4), pattern("uniform", mesh), 0.02, 2, 6, **SHORT)
    assert other.packets != runs[1].packets


def test_packets_are_bernoulli_and_uniform():
    mesh = Mesh(4, 4)
    result = load_test(mesh, NocSpec(vcs=4), pattern("uniform", mesh), 0.1, 1, warm_up=0, measure=40_000)
    trials = 16 * 40_000
    assert abs(result.packets - 0.1 * trials) < 4 * np.sqrt(trials * 0.1 * 0.9)
    arrived = result.link_flits[:, 4]
    assert abs(arrived - arrived.mean()).max() < 4.5 * np.sqrt(arrived.mean())


def test_a_lone_stream_takes_the_unloaded_latency_exactly():
    mesh, spec = Mesh(4, 4), NocSpec(vcs=2)
    weights = np.zeros((16, 16))
    weights[1, 14] = 1
    result = load_test(mesh, spec, from_matrix("pair", weights), 0.04, 1, **SHORT)  # 0.64 per cycle of one tile
    assert result.mean_packet_latency_cycles == unloaded_latency(mesh, spec, 1, 14, 1)
    assert result.mean_hops == pytest.approx(4, rel=0.02)  # flits still under way have passed some links


def test_links_without_contention_carry_a_flit_per_cycle():
    """Neighbours on a ring use one link each: with two channels nothing stands in the way."""
    mesh = Mesh(1, 8, torus=True)
    result = load_test(mesh, NocSpec(vcs=4, buffer_flits=16), pattern("neighbour", mesh), 0.19, 5, 1, **SHORT)
    assert not result.saturated
    assert result.accepted_flit_rate == pytest.approx(0.95, abs=0.03)


def test_one_channel_is_given_away_after_the_tail():
    """With one virtual channel a link idles a cycle per packet: single flits use half of it."""
    mesh = Mesh(1, 2)
    pair = from_matrix("pair", np.array([[0.0, 1.0], [0.0, 0.0]]))
    full = load_test(mesh, NocSpec(vcs=1), pair, 0.5, 1, **SHORT)  # all of it from one tile: one per cycle
    assert full.saturated
    assert full.accepted_flit_rate * 2 == pytest.approx(0.5, abs=0.01)


def test_a_matrix_sets_who_talks_to_whom():
    mesh = Mesh(2, 2)
    weights = np.zeros((4, 4))
    weights[0, 3], weights[1, 2] = 1, 3
    result = load_test(mesh, NocSpec(), from_matrix("file", weights), 0.05, 1, measure=30_000)
    arrived = result.link_flits[:, 4]
    assert arrived[[0, 1]].tolist() == [0, 0]
    assert arrived[2] / arrived[3] == pytest.approx(3, rel=0.15)


def test_patterns_send_where_they_say():
    mesh = Mesh(4, 4)
    assert pattern("transpose", mesh).fixed[1] == 4
    assert pattern("bit-complement", mesh).fixed[1] == 14
    assert pattern("neighbour", mesh).fixed[[0, 3]].tolist() == [1, 0]
    for name in PATTERNS:
        flows = list(pattern(name, mesh).flows(mesh))
        assert sum(share.sum() for _, _, share in flows) == pytest.approx(1)
    _, there, share = next(pattern("hotspot", mesh).flows(mesh))
    assert share[there == 10].sum() == pytest.approx(0.2 + 0.8 / 16)


@pytest.mark.parametrize("name", ["uniform", "transpose", "hotspot"])
def test_the_closed_form_is_near_at_light_load_and_bounds_saturation(name):
    mesh, spec = Mesh(4, 4), NocSpec(vcs=2)
    traffic = pattern(name, mesh)
    model = load_model(mesh, spec, traffic, 2)
    bound = model.saturation_rate
    light = load_test(mesh, spec, traffic, 0.1 * bound, 2)
    assert model.latency_cycles(0.1 * bound) == pytest.approx(light.mean_packet_latency_cycles, rel=0.03)
    assert load_test(mesh, spec, traffic, 1.1 * bound, 2, warm_up=5000, measure=15_000).saturated
    assert model.latency_cycles(1.1 * bound) is None


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 0.1, "packet_flits": 0}, "packet_flits"),
        ({"rate": 0.1, "measure": 0}, "measure"),
        ({"rate": 0.1, "warm_up": -1}, "warm_up"),
    ],
)
def test_bad_settings_are_named(arguments, where):
    mesh = Mesh(2, 2)
    with pytest.raises(InputError, match=where):
        load_test(mesh, NocSpec(), pattern("uniform", mesh), **arguments)


def test_a_pattern_belongs_to_its_mesh():
    with pytest.raises(InputError, match="tiles"):
        load_test(Mesh(2, 2), NocSpec(), pattern("uniform", Mesh(3, 3)), 0.1)
    with pytest.raises(InputError, match="transpose"):
        pattern("transpose", Mesh(2, 3))
    with pytest.raises(InputError, match="did you mean 'uniform'"):
        pattern("unifrom", Mesh(2, 3))
