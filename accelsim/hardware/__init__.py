"""The machine's description: schemas, cost tables, SRAM and cell models, technology scaling."""

from accelsim.hardware.costs import CostTable
from accelsim.hardware.load import Hardware, bundled_hardware, find_hardware, load_hardware
from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.hardware.systolic import SystolicFile

__all__ = [
    "CostTable",
    "Hardware",
    "SpikeflowFile",
    "SystolicFile",
    "bundled_hardware",
    "find_hardware",
    "load_hardware",
]
