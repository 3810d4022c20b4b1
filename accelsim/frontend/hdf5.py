"""HDF5 files that anybody may have written, read in a process of their own.

The HDF5 library trusts what a file says of itself: damage makes it run for ever, crash, or spoil the memory of the
process that it runs in, where no exception and no signal handler helps. So a second Python (`python -m
accelsim.frontend.hdf5 FILE`, which needs h5py and numpy alone) does the reading under limits, and hands over what it
found through a pipe: lines of JSON, each followed by the bytes of its array. Nothing of the calling program is imported
there, so that this works from a notebook as well as from a script.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

MOST_BYTES = 2**33
MOST_SQUEEZED = 200
"""Bytes of an array for each byte of the file: weights of a network do not compress further."""
_SMALL = 2**26
MOST_DEPTH = 100
WORK_S, WORK_S_PER_MIB = 1, 5
"""Processor time for a file: ten times what a graph of many small nodes takes, which is the slowest to read."""
WAIT_S, WAIT_S_PER_MIB = 60, 10
"""Time for a file, with the start of the process, where the machine or the disk is busy."""
_ROOM = 2**31
"""Bytes of memory that reading may take beside the arrays."""


@dataclass(frozen=True)
class Refused:
    """What stands in the place of something that was not read, and why."""

    why: str


Value = npt.NDArray[Any] | str | list[Any] | Refused | None
"""Numbers, text, lists of lists of text, or a dataset that says to be empty."""
Tree = dict[str, Any]
"""Members of a group by name: each a `Value` or a `Tree`."""
Record = tuple[dict[str, Any], npt.NDArray[Any] | None]


def read_tree(path: Path) -> Tree | Refused:
    """Everything in an HDF5 file; whatever is damaged or lies in another file is `Refused` in its place."""
    size = path.stat().st_size
    if not sys.executable or getattr(sys, "frozen", False):  # a program without a Python that could be started
        return read_here(path)
    package = Path(__file__).resolve().parents[2]
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(path.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=package,  # a folder with a json.py in it is not imported from
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join([str(package), *filter(os.path.isabs, sys.path)]),
            },
        )
    except OSError as error:
        return Refused(f"no process can be started to read it: {error.strerror or error}")
    alarm = threading.Timer(WAIT_S + WAIT_S_PER_MIB * size / 2**20, process.kill)
    alarm.start()
    assert process.stdout is not None
    try:
        return _assembled(_received(process.stdout))
    except MemoryError:
        return Refused("its arrays do not fit into memory")
    except (EOFError, ValueError, KeyError, TypeError, AttributeError):  # no sense in what it said
        return Refused("damaged: the HDF5 library crashed on it, or ran for too long")
    finally:
        alarm.cancel()
        process.kill()
        process.stdout.close()
        process.wait()


def read_here(path: Path) -> Tree | Refused:
    """As `read_tree`, in this process, which a damaged file can take along."""
    return _assembled(records(path))


def _received(stream: IO[bytes]) -> Iterator[Record]:
    """What the other process sends.

    Raises:
        EOFError: it ends too early.
        ValueError, KeyError, TypeError: it makes no sense.
        MemoryError: an array does not fit.
    """
    while True:
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        record = json.loads(line)
        if "end" in record:
            return
        array = None
        if "dtype" in record:
            array = np.empty(record["shape"], np.dtype(record["dtype"]))
            room = array.reshape(-1).view(np.uint8).data
            if stream.readinto(room) != array.nbytes:  # type: ignore[attr-defined]
                raise EOFError
        yield record, array


def _assembled(found: Iterable[Record]) -> Tree | Refused:
    root: Tree = {}
    groups = {"": root}
    for record, array in found:
        place = record["place"]
        value: Any = array if array is not None else record.get("text")
        if "group" in record:
            value = groups[place] = {}
        elif "why" in record:
            value = Refused(record["why"])
        if not place:
            return Refused(record["why"])
        above, _, name = place.rpartition("/")
        groups[above][name] = value
    return root


# --- in the other process -----------------------------------------------------------------------------------


def records(path: Path) -> Iterator[Record]:
    """What a file holds, groups before their members: {place, group}, {place, why} of what is refused, {place, text},
    or {place, dtype, shape} with its array.
    """
    import h5py

    reader = _Reader(path.stat().st_size)
    try:
        if not h5py.is_hdf5(str(path)):
            yield {"place": "", "why": "it is no HDF5 file"}, None
            return
        with h5py.File(str(path), "r") as file:
            yield from reader.walk(file)
    except OSError as error:
        yield {"place": "", "why": error.strerror or str(error)}, None
    except Exception as error:  # h5py raises whatever the damage makes it stumble over
        yield {"place": "", "why": f"damaged: {error}"}, None


class _Reader:
    """Walks an open file."""

    def __init__(self, size: int) -> None:
        self.left = min(MOST_BYTES, _SMALL + MOST_SQUEEZED * size)
        self.seen: set[Any] = set()

    def walk(self, file: Any) -> Iterator[Record]:
        """All members of all groups."""
        waiting = [("", file)]
        while waiting:
            above, group = waiting.pop()
            try:
                for name in group:
                    place = f"{above}/{name}".lstrip("/")
                    item, record, array = self._member(group, name, place)
                    if "group" in record:
                        waiting.append((place, item))
                    yield {"place": place, **record}, array
            except Exception as error:  # a list of members that cannot be gone through
                yield {"place": above, "why": f"damaged: {error}"}, None

    def _member(self, group: Any, name: str, place: str) -> tuple[Any, dict[str, Any], npt.NDArray[Any] | None]:
        import h5py

        try:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return None, {"why": "a link to elsewhere is not followed"}, None
            item = group[name]
            if isinstance(item, h5py.Group):
                return item, self._group(item, place), None
            if isinstance(item, h5py.Dataset):
                return item, *self._dataset(item)
            return item, {"why": "expected a group or a dataset, found a type"}, None
        except Exception as error:  # h5py raises whatever the damage makes it stumble over
            return None, {"why": f"damaged: {error}"}, None

    def _group(self, item: Any, place: str) -> dict[str, Any]:
        import h5py

        address = h5py.h5o.get_info(item.id).addr
        if address in self.seen:  # with a group in itself, there is no end
            return {"why": "this group lies in two places"}
        if place.count("/") > MOST_DEPTH:
            return {"why": f"groups within groups, more than {MOST_DEPTH} deep"}
        self.seen.add(address)
        return {"group": True}

    def _dataset(self, item: Any) -> tuple[dict[str, Any], npt.NDArray[Any] | None]:
        import h5py

        if item.is_virtual or item.external:
            return {"why": "its values lie in another file, which is not opened"}, None
        if item.shape is None:
            return {"text": None}, None
        wanted, held = int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize, item.id.get_storage_size()
        if (wanted > _SMALL and wanted > MOST_SQUEEZED * held) or wanted > self.left:
            return {"why": f"{wanted:,} bytes in {held:,} of the file; no network's weights are like that"}, None
        self.left -= wanted
        if h5py.check_string_dtype(item.dtype) is not None:
            return {"text": _decoded(np.asarray(item[()], dtype=object).tolist())}, None
        if item.dtype.kind not in "biufc":
            return {"why": f"expected numbers or text, found values of type {item.dtype}"}, None
        array = np.ascontiguousarray(item[()]).reshape(item.shape)
        return {"dtype": array.dtype.str, "shape": array.shape}, array


def _decoded(text: Any) -> Any:
    """Text, or lists of lists of text; bytes that are no text are shown as such."""
    if isinstance(text, list):
        return [_decoded(one) for one in text]
    return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)


def _limit(size: int) -> None:
    """Limits of this process for a file of `size` bytes, where the system has such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        arrays = min(MOST_BYTES, _SMALL + MOST_SQUEEZED * size)
        seconds = int(time.process_time() + WORK_S + WORK_S_PER_MIB * size / 2**20) + 1
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_ROOM + 2 * arrays, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    """Read the file that the command line names, and send what it holds to stdout."""
    import h5py  # noqa: F401  # before the clock starts

    path = Path(sys.argv[1])
    _limit(path.stat().st_size)
    stream = sys.stdout.buffer
    for record, array in records(path):
        stream.write(json.dumps(record).encode() + b"\n")
        if array is not None:
            stream.write(array.reshape(-1).view(np.uint8).data)
    stream.write(b'{"end": true}\n')
    stream.flush()


if __name__ == "__main__":
    main()
