"""What the decision to leave costs in hardware: running sums, a softmax by tables, an entropy, a comparison.

With z the running mean logit less its largest, S = sum(e^z) and R = sum(e^z z), the entropy is log S - R / S:
per class a running sum, a scaling by 1/t, a comparison for the largest, a subtraction, one look-up (e^z), one
product and two more additions; per timestep one look-up each for log S and 1/S, a product, a subtraction and
the comparison with the threshold. 16-bit words throughout; the division by log(classes) is in the threshold.
"""

from __future__ import annotations

import numpy as np

from accelsim.costs.parts import cells_component
from accelsim.costs.sram import smallest_macro_bytes, sram
from accelsim.costs.table import Action, Component
from accelsim.ledger.counts import Ledger

NAME = "exit_unit"
_WORD_BITS = 16
_LINE_BYTES = 4
# One class per cycle, in two passes (the largest first, then the sums), and the look-ups at the end.
_PASSES, _LAST_CYCLES = 2, 4


def exit_unit(node_nm: int) -> Component:
    """Costs of one unit: cells of the machine's node, and the smallest CACTI memory for the tables."""
    word = _WORD_BITS
    parts = [("adder", word), ("multiplier", word), ("comparator", word), ("register", word)]
    component = cells_component(
        "compute",
        {
            "accumulate": [("adder", word), ("register", word)],
            "multiply": [("multiplier", word)],
            "compare": [("comparator", word)],
        },
        parts,
        node_nm,
    )
    table = sram(smallest_macro_bytes(_LINE_BYTES, 1, node_nm), _LINE_BYTES, 1, node_nm)
    return Component(
        "compute",
        {**component.actions, "look_up": Action(table.read_pj, f"one table read: {table.source}")},
        component.leakage_mw + table.leakage_mw,
        component.area_um2 + table.area_um2,
        f"{component.source}; tables of e^z, log and 1/S: {table.source}",
    )


def add_exit_unit(ledger: Ledger, classes: int) -> None:
    """Count the decisions of all timesteps in the ledger's last layer, and the time they take."""
    layer = ledger.layers[-1]
    each = np.ones(layer.timesteps)
    layer.add(f"{NAME}.accumulate", (4 * classes + 1) * each)
    layer.add(f"{NAME}.multiply", (2 * classes + 1) * each)
    layer.add(f"{NAME}.compare", (classes + 1) * each)
    layer.add(f"{NAME}.look_up", (classes + 2) * each)
    layer.cycles = layer.cycles + float(_PASSES * classes + _LAST_CYCLES)
    ledger.instances[NAME] = 1
