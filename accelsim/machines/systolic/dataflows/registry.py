"""Name in a description -> dataflow. To add one: a module beside this file, and a line here."""

from __future__ import annotations

from accelsim.machines.systolic.dataflows.base import Dataflow
from accelsim.machines.systolic.dataflows.eyeriss import Eyeriss
from accelsim.machines.systolic.dataflows.input_stationary import InputStationary
from accelsim.machines.systolic.dataflows.mint import Mint
from accelsim.machines.systolic.dataflows.output_stationary import OutputStationary
from accelsim.machines.systolic.dataflows.prosperity import Prosperity
from accelsim.machines.systolic.dataflows.ptb import Ptb
from accelsim.machines.systolic.dataflows.sato import Sato
from accelsim.machines.systolic.dataflows.spinalflow import Spinalflow
from accelsim.machines.systolic.dataflows.tick_batch import TickBatching
from accelsim.machines.systolic.dataflows.weight_stationary import WeightStationary

DATAFLOWS: dict[str, Dataflow] = {
    "os": OutputStationary(),
    "ws": WeightStationary(),
    "is": InputStationary(),
    "tick-batch": TickBatching(),
    "ptb": Ptb(),
    "sato": Sato(),
    "mint": Mint(),
    "eyeriss": Eyeriss(),
    "prosperity": Prosperity(),
    "spinalflow": Spinalflow(),
}
