"""One thread before torch is loaded (small tensors get slower with more); nothing to test without torch."""

import importlib.util
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

if any(importlib.util.find_spec(name) is None for name in ("torch", "sklearn")):
    collect_ignore_glob = ["test_*.py"]
