"""Shared by the tests of the crossbar room."""

import importlib.util
import logging
import os
import sys
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from tests import golden as records
from tests.skips import peer


@pytest.fixture(scope="session")
def golden():
    """SpikeSim's currents and codes."""
    return records.arrays("spikesim_nice.npz")


@pytest.fixture(scope="session")
def badcrossbar():
    """The independent solver badcrossbar; drawing (cairo) is replaced by a stand-in."""
    if importlib.util.find_spec("cairo") is None:
        sys.modules.setdefault("cairo", mock.MagicMock(name="cairo"))
    module = peer("badcrossbar")
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)
    for name in ("badcrossbar.compute", "badcrossbar.computing.solve", "badcrossbar.check", "badcrossbar.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return module
