"""What is computed: layers, shapes, operation counts, spike activity, trace and bundle files."""

from accelsim.workload.activity import Activity, OpActivity
from accelsim.workload.ann import as_ann
from accelsim.workload.bundle import Bundle, write_bundle
from accelsim.workload.graph import ActivationType, Graph, Operation, Stage
from accelsim.workload.kinds import Gemm
from accelsim.workload.load import Workload, bundled_workloads, find_workload, load_workload
from accelsim.workload.trace import Record, SpikeTrace

__all__ = [
    "ActivationType",
    "Activity",
    "Bundle",
    "Gemm",
    "Graph",
    "OpActivity",
    "Operation",
    "Record",
    "SpikeTrace",
    "Stage",
    "Workload",
    "as_ann",
    "bundled_workloads",
    "find_workload",
    "load_workload",
    "write_bundle",
]
