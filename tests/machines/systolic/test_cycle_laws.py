"""Laws of the clocked array: it agrees with the closed form, and stalls are what bandwidth implies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.ledger.counts import Ledger
from accelsim.machines.description import Hardware
from accelsim.machines.systolic.analytical import simulate as closed_form
from accelsim.machines.systolic.cycle import kernels, memory, queue
from accelsim.machines.systolic.cycle.memory import COLUMNS, Room, run
from accelsim.machines.systolic.cycle.plan import BUFFERS, LOADS, WRITES, SegmentPlan, spread
from accelsim.machines.systolic.cycle.simulate import simulate as clocked
from accelsim.machines.systolic.description import SystolicFile
from tests.networks import documents, machine, network, systolic, totals

FAST = 1e9
DATAFLOWS = ("os", "ws", "is", "tick-batch")


def with_bandwidth(file: SystolicFile, gbps: float, **dram: Any) -> SystolicFile:
    memories = file.memories
    channel = memories.dram.model_copy(update={"bandwidth_gbps": gbps, **dram})
    return file.model_copy(update={"memories": memories.model_copy(update={"dram": channel})})


def cycles(ledger: Ledger) -> float:
    return float(sum(layer.cycles.sum() for layer in ledger.layers))


@st.composite
def arrays(draw: st.DrawFn) -> SystolicFile:
    memory = st.sampled_from((24, 200, 4096))
    return systolic(
        array={"rows": draw(st.integers(1, 6)), "cols": draw(st.integers(1, 5))},
        dataflow=(dataflow := draw(st.sampled_from(DATAFLOWS))),
        drain=draw(st.sampled_from(("overlapped", "serial"))),
        schedule="layer-by-layer"
        if dataflow == "tick-batch"
        else draw(st.sampled_from(("layer-by-layer", "step-by-step"))),
        static_input=draw(st.sampled_from(("reuse", "recompute"))),
        maps=draw(st.sampled_from(("dram", "chip"))),
        lif=draw(st.sampled_from(({}, {"units": 1}, {"share": 3, "membrane_sharing": 2}))),
        pe={"multiplier_bits": draw(st.sampled_from((0, 8)))},
        sizes={name: draw(memory) for name in ("glb_weight", "glb_ifmap", "glb_ofmap")},
        spads={name: draw(st.integers(1, 9)) for name in ("spad_spike", "spad_weight", "spad_psum")},
    )


# --- the closed form ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(documents(), arrays())
def test_dense_and_stall_free_it_is_the_closed_form(document: dict[str, Any], file: SystolicFile) -> None:
    workload, fast = network(document), with_bandwidth(file, FAST)
    slow, quick = closed_form(workload, fast), clocked(workload, fast)
    for wanted, found in zip(slow.layers, quick.layers, strict=True):
        assert found.stall_cycles == 0
        assert found.cycles.sum() == pytest.approx(wanted.cycles.sum(), rel=1e-12)
        assert found.busy_cycles == pytest.approx(wanted.busy_cycles, rel=1e-12)
        assert found.utilization == pytest.approx(wanted.utilization)
    for layer in range(len(slow.layers)):
        assert totals(quick, layer) == pytest.approx(totals(slow, layer))


@pytest.mark.parametrize("name", ["sata", "sata_os", "sata_ws", "ann_systolic"])
@pytest.mark.parametrize("workload", ["vgg9_cifar10", "resnet19_cifar10"])
def test_bundled_machines_agree_to_the_cycle(name: str, workload: str) -> None:
    hardware = machine(name, (("memories.dram.bandwidth_gbps", FAST),))
    found = api.run(workload, hardware, fidelity="cycle")
    assert found.cycles == api.run(workload, hardware).cycles
    assert found.ledger.details["cycles"]["stall"] == 0


# --- bandwidth ------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(documents(), arrays(), st.sampled_from((0.3, 2.0, 40.0)), st.sampled_from((0.0, 100.0)))
def test_layers_last_between_the_bounds(document: dict[str, Any], file: SystolicFile, gbps: float, ns: float) -> None:
    workload, hardware = network(document), with_bandwidth(file, gbps, latency_ns=ns)
    runs = workload.timesteps if file.schedule == "step-by-step" else 1
    latency = runs * ns * file.clock_mhz / 1e3
    for layer in clocked(workload, hardware).layers:
        moved = sum(layer.details["dram_bits"].values())
        transfer = moved / (gbps * 1e3 / file.clock_mhz)
        total = layer.cycles.sum()
        assert total >= max(layer.busy_cycles, transfer) - 1e-6
        assert total <= layer.busy_cycles + transfer + latency + 1  # whole cycles
        assert sum(layer.details["cycles"].values()) == pytest.approx(total)
        assert sum(layer.details["stall_cycles"].values()) == pytest.approx(layer.stall_cycles)
        assert all(waited >= 0 for waited in layer.details["stall_cycles"].values())
        counted = sum(float(layer.counts.get(f"dram.{way}_bits", np.zeros(1)).sum()) for way in ("read", "write"))
        assert moved == pytest.approx(counted)


@settings(max_examples=25)
@given(documents(), arrays())
def test_more_bandwidth_never_adds_stalls(document: dict[str, Any], file: SystolicFile) -> None:
    workload, before = network(document), None
    for gbps in (0.25, 0.5, 1.0, 2.0, 4.0, FAST):
        stalls = [layer.stall_cycles for layer in clocked(workload, with_bandwidth(file, gbps)).layers]
        assert before is None or all(now <= then for now, then in zip(stalls, before, strict=True))
        before = stalls
    assert before == [0.0] * len(before or ())


# --- the timeline itself, against a plain walk through events ---------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> tuple[SegmentPlan, Room]:
    random, segments = np.random.default_rng(draw(st.integers(0, 9999))), draw(st.integers(1, 12))
    loads = random.integers(0, 60, (segments, len(LOADS))) * (random.random((segments, len(LOADS))) < 0.4)
    writes = random.integers(0, 60, (segments, len(WRITES))) * (random.random((segments, len(WRITES))) < 0.3)
    work = random.integers(0, 40, segments).astype(float)
    plan = SegmentPlan(np.zeros(segments, dtype=np.int64), work, loads.astype(float), writes.astype(float))
    names = dict.fromkeys(BUFFERS.values())
    return plan, Room(dict.fromkeys(names, 100), {name: draw(st.sampled_from((0, 50, 150))) for name in names})


def walk(plan: SegmentPlan, room: Room, rate: float) -> list[float]:
    """Starts of segments: a queue of requests, each waiting for the event that lets it be issued."""
    segments = len(plan.cycles)
    queue = []
    for j in range(segments):
        for c, name in enumerate(LOADS):
            if plan.loads[j, c]:
                beside = room.ahead[BUFFERS[name]]
                p = j
                if beside:
                    p = j - 1
                    while p >= 0 and plan.loads[p + 1 : j + 1, c].sum() + plan.loads[p, c] <= beside:
                        p -= 1
                queue.append(((p, 1) if beside else (j, 0), True, j, c, plan.loads[j, c]))
        queue += [((j + 1, 0), False, j, c, bits) for c, bits in enumerate(plan.writes[j]) if bits]
    queue.sort(key=lambda request: request[:4])
    leaving = plan.writes.sum(axis=1)
    starts: list[float] = []
    ends: list[float] = []
    ready, gone = [0.0] * segments, [0.0] * segments
    channel = 0.0
    for i in range(segments + 1):
        while queue and queue[0][0] <= (i, 0):
            (event, kind), arriving, j, _, bits = queue.pop(0)
            issued = 0.0 if event < 0 or (event, kind) == (0, 0) else starts[event] if kind else ends[event - 1]
            channel = max(channel, issued) + bits / rate
            (ready if arriving else gone)[j] = channel
        if i == segments:
            break
        wait = max(ends[-1] if ends else 0.0, ready[i])
        if leaving[i]:
            for w in range(i):
                if leaving[w : i + 1].sum() > room.ahead["glb_ofmap"] or not room.ahead["glb_ofmap"]:
                    wait = max(wait, max(gone[: w + 1]))
        starts.append(wait)
        ends.append(wait + plan.cycles[i])
    return [*starts, max([*ends, channel])]


@settings(max_examples=200)
@given(plans(), st.sampled_from((0.7, 3.0, 50.0)))
def test_timeline_equals_a_walk_through_events(case: tuple[SegmentPlan, Room], rate: float) -> None:
    plan, room = case
    found = run(plan, room, rate)
    assert [*found.start, found.total] == pytest.approx(walk(plan, room, rate))
    assert sum(found.stalls().values()) == pytest.approx(found.total - plan.cycles.sum())
    assert set(found.stalls()) <= set(COLUMNS)
    assert (found.begin[1:] >= found.end[:-1] - 1e-9).all()  # one transfer at a time


def test_no_bit_is_lost_when_spread() -> None:
    pass_of = np.array([0, 0, 1, 2, 2])
    found = spread(np.array([10.0, 7.0, 4.0]), np.array([1.0, 3.0, 0.0, 0.0, 2.0]), pass_of, 3)
    assert found.tolist() == [2.5, 7.5, 7.0, 0.0, 4.0]


def test_machine_of_the_command_line() -> None:
    hardware: Hardware = machine("sata")
    result = api.run("digits_snn", hardware, fidelity="cycle")
    assert result.fidelity == "cycle"
    assert result.to_dict()["details"]["cycles"]["stall"] == sum(layer.stall_cycles for layer in result.ledger.layers)


@settings(max_examples=50)
@given(plans(), st.sampled_from((0.7, 3.0)), st.sampled_from((0.0, 5.0)))
def test_compiled_loop_equals_the_plain_one(case: tuple[SegmentPlan, Room], rate: float, latency: float) -> None:
    plan, room = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "loop_for", lambda size: queue.timeline)
        plain = run(plan, room, rate, latency)
        patch.setattr(memory, "loop_for", lambda size: kernels.timeline)
        compiled = run(plan, room, rate, latency)
    for name in ("start", "finish", "begin", "end"):
        assert np.array_equal(getattr(plain, name), getattr(compiled, name)), name
