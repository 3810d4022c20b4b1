"""The same bytes, whatever the number of threads of the numerical libraries and the kernels they choose.

Kernels are those that OpenBLAS has for processors of other ages; where numpy comes with another library, the
variable has no effect and the test is that of the threads.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.console import ROOT

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
COMMANDS = {
    "infer on crossbars": ("infer", "digits_snn", "--hw", "spikeflow", "--images", "12"),
    "infer on whole numbers": ("infer", "digits_resnet", "--hw", "sata", "--images", "12"),
    "compare": ("compare", "digits_snn", "--hw", "sata", "--hw", "spikeflow"),
    "crossbar": ("crossbar", "--rows", "24", "--cols", "24", "--seed", "3"),
    "noc": ("noc", "--injection-rate", "0.1", "--warm-up", "500", "--measure", "500"),
}  # fmt: skip


def settings(threads: int, kernels: str | None) -> dict[str, str]:
    chosen = {name: str(threads) for name in THREADS} | {"NUMBA_NUM_THREADS": str(min(threads, os.cpu_count() or 1))}
    return chosen if kernels is None else {**chosen, "OPENBLAS_CORETYPE": kernels}


def printed(words: Sequence[str], environment: dict[str, str]) -> bytes:
    clean = {key: value for key, value in os.environ.items() if key not in (*THREADS, "OPENBLAS_CORETYPE")}
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", *words, "--format", "json"],
        cwd=ROOT, env={**clean, **environment, "ACCELSIM_CACHE": "off"}, capture_output=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    # The one figure that is a measurement of this computer: how fast the network was simulated.
    return re.sub(rb'"router_cycles_per_s": [0-9.e+]+', b"", done.stdout)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_threads_and_kernels_do_not_show(words: Sequence[str]) -> None:
    wanted = printed(words, settings(1, None))
    for threads, kernels in ((2, "Haswell"), (4, "Nehalem"), (8, None)):
        assert printed(words, settings(threads, kernels)) == wanted, (threads, kernels)
