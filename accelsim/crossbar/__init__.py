"""The physics of one crossbar array: device, wires, noise, converters, weights, products.

Names are imported on first use, because the solvers load numba:

    from accelsim.crossbar import Device, Wires, solve_transfer

    g = Device.preset("neurosim_default").conductance_s(codes, cell_bits=2)        # [rows, columns]
    array = solve_transfer(g, wordline_ohm=1.0, bitline_ohm=1.0)
    currents = array.currents_a(voltages)              # exact, one matrix product per batch
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.crossbar.converters import Adc, Dac
    from accelsim.crossbar.devices import Device, preset_names
    from accelsim.crossbar.layer import Output, ProgrammedLayer, program_layer
    from accelsim.crossbar.mapping import RowBlocks, conv_blocks, linear_blocks, patches
    from accelsim.crossbar.noise import NOISE_MODELS, NoisyArray, statistical_variance
    from accelsim.crossbar.reads import change_cell, device_voltages_v, solve_gated, solve_reads
    from accelsim.crossbar.solution import CrossbarSolution, Wires, solve_transfer
    from accelsim.crossbar.spice import to_spice
    from accelsim.crossbar.study import ArrayStudy, loss_table, study_array
    from accelsim.crossbar.weights import Encoding, encode, quantise

_HOME = {
    "converters": ("Adc", "Dac"),
    "devices": ("Device", "preset_names"),
    "layer": ("Output", "ProgrammedLayer", "program_layer"),
    "mapping": ("RowBlocks", "conv_blocks", "linear_blocks", "patches"),
    "noise": ("NOISE_MODELS", "NoisyArray", "statistical_variance"),
    "reads": ("change_cell", "device_voltages_v", "solve_gated", "solve_reads"),
    "solution": ("CrossbarSolution", "Wires", "solve_transfer"),
    "spice": ("to_spice",),
    "study": ("ArrayStudy", "loss_table", "study_array"),
    "weights": ("Encoding", "encode", "quantise"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "NOISE_MODELS",
    "Adc",
    "ArrayStudy",
    "CrossbarSolution",
    "Dac",
    "Device",
    "Encoding",
    "NoisyArray",
    "Output",
    "ProgrammedLayer",
    "RowBlocks",
    "Wires",
    "change_cell",
    "conv_blocks",
    "device_voltages_v",
    "encode",
    "linear_blocks",
    "loss_table",
    "patches",
    "preset_names",
    "program_layer",
    "quantise",
    "solve_gated",
    "solve_reads",
    "solve_transfer",
    "statistical_variance",
    "study_array",
    "to_spice",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
