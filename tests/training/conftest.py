"""One thread before torch is loaded (small tensors get slower with more)."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
