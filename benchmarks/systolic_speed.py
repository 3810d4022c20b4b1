"""Simulated array cycles per second beside SCALE-Sim 3.0.0: the same layers, arrays and dataflows, one core, same run.

    python benchmarks/systolic_speed.py                     makes an environment for SCALE-Sim (pip, numpy < 2.4)
    python benchmarks/systolic_speed.py --python VENV/bin/python    one that has scalesim already

Seconds are CPU seconds, the model's own: imports and the reading of files are left out on both sides. SCALE-Sim
writes its traces in any case. Both must agree on the cycles, or the comparison is refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import accelsim
from accelsim.workload.load import resolve_workload

LAYERS = {
    "stem": (32, 3, 3, 64),
    "conv3x3_64": (18, 3, 64, 64),
    "conv3x3_128": (10, 3, 128, 128),
    "pointwise": (14, 1, 48, 100),
    "fc_512x10": (1, 1, 512, 10),
}
"""Name: height (= width, padding included), kernel, channels, filters."""
ARRAYS = (("os", 32, 32), ("ws", 32, 32), ("os", 16, 8))

DRIVER = """
import json, sys, time, contextlib, io
from scalesim.scale_sim import scalesim
config, topology, layout, out = sys.argv[1:5]
with contextlib.redirect_stdout(io.StringIO()):
    tool = scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=layout,
                    input_type_gemm=False)
    start = time.process_time()
    tool.run_scale(top_path=out)
    seconds = time.process_time() - start
cycles = [layer.total_cycles for layer in tool.runner.single_layer_sim_object_list]
print(json.dumps({"seconds": seconds, "cycles": cycles}))
"""


def environment(folder: Path) -> Path:
    """A fresh environment with SCALE-Sim; returns its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "scalesim==3.0.0", "numpy<2.4"], check=True)
    return python


def scalesim_run(python: Path, folder: Path, dataflow: str, rows: int, cols: int) -> tuple[float, list[int]]:
    """CPU seconds and cycles per layer."""
    header = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
    lines = [f"{name}, {h}, {h}, {k}, {k}, {c}, {n}, 1,\n" for name, (h, k, c, n) in LAYERS.items()]
    (folder / "layers.csv").write_text(header + "".join(lines))
    # Layouts are off, but SCALE-Sim insists on a file with one line per layer.
    steps = ", ".join(["1"] * 17)
    (folder / "layout.csv").write_text(
        "Layer name, " + "step," * 17 + "\n" + "".join(f"{n}, {steps},\n" for n in LAYERS)
    )
    (folder / "scale.cfg").write_text(
        f"""[general]
run_name = speed
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {cols}
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: 10
Dataflow: {dataflow}
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 1
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 1
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
    )
    (folder / "driver.py").write_text(DRIVER)
    files = [str(folder / name) for name in ("driver.py", "scale.cfg", "layers.csv", "layout.csv", "out")]
    done = subprocess.run([python, *files], check=True, capture_output=True, text=True, cwd=folder)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], [int(cycles) + 1 for cycles in found["cycles"]]  # it prints the index of the last cycle


def own_run(dataflow: str, rows: int, cols: int, repeats: int = 5) -> tuple[float, list[int]]:
    """CPU seconds (best of some) and cycles per layer of `--fidelity cycle`, spikes skipped by nobody."""
    settings = {"array.rows": rows, "array.cols": cols, "dataflow": dataflow, "memories.dram.bandwidth_gbps": 1e9}
    hardware = accelsim.load_hardware("sata_os", settings)
    workloads = [
        resolve_workload(
            {
                "name": name,
                "timesteps": 1,
                "input": {"shape": [channels, height, height], "encoding": "rate"},
                "activity": {"density": 0.2},
                "layers": [{"op": "conv2d", "out_channels": filters, "kernel": kernel, "bias": False}],
            }
        )
        for name, (height, kernel, channels, filters) in LAYERS.items()
    ]
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        ledgers = [hardware.simulate(workload, "cycle") for workload in workloads]
        best = min(best, time.process_time() - start)
    return best, [round(ledger.layers[0].cycles.sum()) for ledger in ledgers]


def main() -> None:
    """Print one line per array."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="interpreter of an environment with scalesim 3.0.0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Not resolved: the link itself makes it the environment's interpreter.
        python = arguments.python.absolute() if arguments.python else environment(folder / "env")
        print(
            f"{'array':>10} {'cycles':>10} {'SCALE-Sim':>12} {'accelsim':>12} "
            f"{'cycles/s':>10} {'cycles/s':>10} {'ratio':>8}"
        )
        for dataflow, rows, cols in ARRAYS:
            theirs, expected = scalesim_run(python, folder, dataflow, rows, cols)
            ours, found = own_run(dataflow, rows, cols)
            if found != expected:
                sys.exit(f"{dataflow} {rows}x{cols}: SCALE-Sim says {expected}, accelsim {found}")
            total = sum(found)
            print(
                f"{dataflow + f' {rows}x{cols}':>10} {total:>10,} {theirs:>10.2f} s {ours * 1e3:>9.2f} ms "
                f"{total / theirs:>10.2e} {total / ours:>10.2e} {theirs / ours:>8,.0f}"
            )


if __name__ == "__main__":
    main()
