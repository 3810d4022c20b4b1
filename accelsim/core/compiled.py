"""`njit` of numba for the kernels of this package, with a cache of machine code that can only help.

numba's own cache looks at the file of the cached function only, so that after an edit of a function that it calls in
another file (or of a constant there) it would go on with the old machine code and the old results, without a word. It
ends the program where no directory can be written or a file of it is damaged, and two processes that compile the same
function at once can mix it up. `KernelCache` takes its place.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config as numba_config
from numba.core import serialize
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult as Compiled

from accelsim.core.cachedir import user_cache
from accelsim.core.errors import InputError
from accelsim.core.files import write_atomic

PACKAGE = Path(__file__).parents[1]
KERNELS = (
    "core/compiled.py",
    "crossbar/kernels/*.py",
    "inference/kernels.py",
    "noc/draws.py",
    "noc/kernels.py",
    "noc/state.py",
    "noc/topology.py",
    "noc/unloaded.py",
    "studies/reproduce/kernels.py",
    "machines/spikeflow/kernels/*.py",
    "machines/systolic/cycle/kernels.py",
    "machines/systolic/related/kernels.py",
    "machines/systolic/related/subsets.py",
)
"""Files of kernels and of the constants that are compiled into them."""

DIGEST_BYTES = 32

# numba states no types for these.
config: Any = numba_config
dumps: Any = serialize.dumps
CompileResult: Any = Compiled

_in_parallel = threading.Lock()
"""The simplest of numba's thread pools ends the program when two threads enter it."""


def njit(signature: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with a `KernelCache`. Other threads run meanwhile; parallel kernels take turns.

    Args:
        signature: compile at once for these types; by default for those that it is called with, when it is.
        options: numba's, without ``cache`` and ``nogil``.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(nogil=True, **options)(function)
        if config.DISABLE_JIT:
            return kernel
        if function.__closure__ is None:  # what a closure holds is in no file
            kernel._cache = KernelCache(function)
        if signature is not None:
            kernel.compile(signature)
            kernel.disable_compile()
        return _one_at_a_time(kernel) if options.get("parallel") else kernel

    return compiled


def _one_at_a_time(kernel: Any) -> Callable[..., Any]:
    @functools.wraps(kernel.py_func)
    def call(*arguments: Any) -> Any:
        with _in_parallel:
            return kernel(*arguments)

    return call


class KernelCache(NullCache):
    """Machine code of one kernel, a file for each signature, and a checksum in each file.

    It lies where numba's own would: in ``NUMBA_CACHE_DIR`` where that is set, else beside the source, else in the
    user's cache directory. What is missing, damaged or cannot be written is compiled again, in memory.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._source = Path(function.__code__.co_filename)
        self._line = function.__code__.co_firstlineno

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel for a signature, or None."""
        target_context.refresh()
        for path in self._paths(sig, target_context.codegen()):
            payload = read(path)
            if payload is None:
                continue
            try:
                known, reduced = pickle.loads(payload)
                if known == sig:
                    return CompileResult._rebuild(target_context, *reduced)
            except Exception:  # whatever another version made of it: compiling again is right
                continue
        return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep a compiled kernel in the first place that takes it."""
        if cres.library.has_dynamic_globals:  # addresses of this process
            return
        payload = dumps((sig, cres._reduce()))
        for path in self._paths(sig, cres.codegen):
            if write(path, payload):
                return

    def _paths(self, sig: Any, codegen: Any) -> list[Path]:
        parts = (sig, self._line, codegen.magic_tuple(), _version(self._source))
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        kind = f"{self._source.stem}.{self._function.__qualname__}".replace("<", "").replace(">", "")
        return [place / f"{kind}.{key[:32]}.nbc" for place in places(self._source)]


def places(source: Path) -> list[Path]:
    """Where the machine code of a file may lie, the first choice first."""
    folder = source.absolute().parent
    own = f"{folder.name}_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    if config.CACHE_DIR:
        return [Path(config.CACHE_DIR) / own]
    user = user_cache("kernels")
    return [folder / "__pycache__", *([] if user is None else [user / own])]


def read(path: Path) -> bytes | None:
    """What `write` put there, or None where that is not what the file holds."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def write(path: Path, payload: bytes) -> bool:
    """Put it there with its checksum; whether that could be done."""
    try:
        write_atomic(path, hashlib.sha256(payload).digest() + payload)
    except InputError:
        return False
    return True


@functools.cache
def _version(source: Path) -> str:
    """Digest of all that machine code is made of and with: files of kernels, `source` itself, the compiler."""
    state = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__}".encode())
    for path in sorted({*sources(), source}):
        state.update(path.read_bytes())
    return state.hexdigest()


def sources(package: Path = PACKAGE) -> Iterator[Path]:
    """All files that machine code is made of."""
    for pattern in KERNELS:
        yield from package.glob(pattern)


def drop_stale(package: Path = PACKAGE) -> int:
    """Remove what was cached beside the kernels before the last of them was changed; how much that was.

    It would not be used any more (`_version`), only lie there.
    """
    found = list(sources(package))
    changed, now = (path.stat().st_mtime for path in found), time.time()
    newest = max(
        (moment for moment in changed if moment <= now), default=0.0
    )  # of a file from the future nothing is newer
    dropped = 0
    for folder in {path.parent / "__pycache__" for path in found}:
        for cached in folder.glob("*.nb[ci]"):
            try:
                if cached.stat().st_mtime < newest:
                    cached.unlink()
                    dropped += 1
            except OSError:  # another process was faster, or the place is read only
                continue
    return dropped


drop_stale()

__all__ = ["KernelCache", "drop_stale", "njit", "sources"]
