"""What designs share through a workload never shows: each gives what it gives alone, whatever came before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.core.errors import InputError
from tests.networks import documents, machine, network

CHANGES: dict[str, dict[str, list[Any]]] = {
    "sata": {
        "dataflow": ["os", "ws", "is", "tick-batch"],
        "array.rows": [3, 8],
        "array.cols": [4, 16],
        "lif.share": [1, 3],
        "lif.membrane_sharing": [1, 2],
        "schedule": ["layer-by-layer", "step-by-step"],
        "static_input": ["reuse", "recompute"],
        "sparsity.spikes": ["none", "gate", "skip"],
        "pe.accumulator_bits": [16, 24],
        "memories.glb_ofmap.size_bytes": [2048, 65536],
        "memories.glb_ofmap.width_bytes": [4, 8],
    },
    "spikeflow": {
        "crossbar.rows": [16, 64],
        "crossbar.cols": [16, 128],
        "crossbar.cell_bits": [2, 4],
        "pe.crossbars": [1, 4],
        "tile.pes": [2, 8],
        "tile.bus_bits": [16, 64],
        "adc.columns_per_adc": [4, 16],
        "adc.sample_hold": [False, True],
        "weights.signed": ["diff", "differential_pair", "offset_column"],
        "weights.baseline": ["none", "column"],
        "weights.sign_sum": ["column", "popcount"],
        "zero_skipping": ["none", "crossbar"],
        "static_input": ["reuse", "recompute"],
        "first_layer": ["crossbar", "digital"],
        "accumulator_bits": [16, 20],
        "pipeline": ["rows", "none"],
        "lif.units": [1, 16],
        "lif.membrane_sharing": [1, 2],
        "digital.macs": [16, 64],
        "noc.flit_bits": [24, 64],
        "noc.packet_flits": [4, 32],
        "noc.vcs": [1, 2],
        "noc.module_ports": [1, 3],
        "noc.torus": [False, True],
        "placement.order": ["snake", "nearest"],
        "placement.extra_tiles": [0, 4],
        "placement.share_tiles": [False, True],
        "memories.tile_buffer.size_bytes": [1024, 4096],
        "memories.tile_buffer.width_bytes": [4, 8],
        "memories.global_buffer.width_bytes": [16, 32],
        "memories.membrane.width_bytes": [16, 32],
        "memories.dram.bandwidth_gbps": [1.0, 100.0],
        "clock_mhz": [100.0, 250.0],
    },
}


@st.composite
def designs(draw: st.DrawFn, kind: str) -> list[dict[str, Any]]:
    """Machines one after another, most of them with few changes against the one before."""
    known = CHANGES[kind]
    found: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(2, 5))):
        changed = draw(st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True))
        last = found[-1] if found and draw(st.integers(0, 3)) else {}
        found.append({**last, **{key: draw(st.sampled_from(known[key])) for key in changed}})
    return found


@pytest.mark.parametrize("kind", sorted(CHANGES))
@settings(max_examples=25)
@given(document=documents(), data=st.data(), fidelity=st.sampled_from(("analytical", "analytical", "cycle")))
def test_designs_do_not_disturb_one_another(
    kind: str, document: dict[str, Any], data: st.DataObject, fidelity: str
) -> None:
    shared = network(document)
    for changes in data.draw(designs(kind)):
        try:
            hardware = machine(kind, tuple(sorted(changes.items())))
            alone = api.run(network(document), hardware, fidelity=fidelity).to_dict()
        except InputError:  # settings that do not go together
            continue
        assert api.run(shared, hardware, fidelity=fidelity).to_dict() == alone
