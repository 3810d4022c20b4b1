"""Shared by the tests of the crossbar room."""

import importlib.util
import logging
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "spikesim_nice_golden.npz"


@pytest.fixture(scope="session")
def golden():
    """SpikeSim's currents and codes, where the reference material lies beside the repository."""
    if not GOLDEN.exists():
        pytest.skip("the SpikeSim golden file is not part of the repository")
    with np.load(GOLDEN) as data:
        return {key: data[key] for key in data.files if data[key].dtype != object}


@pytest.fixture(scope="session")
def badcrossbar():
    """The independent solver badcrossbar; drawing (cairo) is replaced by a stand-in."""
    if importlib.util.find_spec("badcrossbar") is None:
        pytest.skip("badcrossbar is not installed")
    if importlib.util.find_spec("cairo") is None:
        sys.modules.setdefault("cairo", mock.MagicMock(name="cairo"))
    try:
        import badcrossbar
    except ImportError as error:
        pytest.skip(f"badcrossbar does not import: {error}")
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)
    for name in ("badcrossbar.compute", "badcrossbar.computing.solve", "badcrossbar.check", "badcrossbar.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return badcrossbar
