"""What a reader says of a file when the process that reads it may have so much memory only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

READ = """
import importlib, resource, sys
from pathlib import Path
most = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
from accelsim.core.errors import InputError
module, name = sys.argv[1].split(":")
try:
    getattr(importlib.import_module(module), name)(Path(sys.argv[2]))
except InputError as error:
    print(error)
"""


def complaint(reader: str, path: Path, most_bytes: int = 1 << 30) -> str:
    """The complaint of a reader, named as `module:function`; what went wrong otherwise fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", READ, reader, str(path), str(most_bytes)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
