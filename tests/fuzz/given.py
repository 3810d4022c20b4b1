"""One damaged input: files, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.fuzz import seeds


@dataclass
class Input:
    """One damaged input: files in a folder of its own, and what is done with them."""

    files: dict[str, bytes]
    """By name in the folder, in which everything runs."""
    words: tuple[str, ...] = ()
    """The command line after `accelsim`; or"""
    call: Callable[[], Any] | None = None
    """a Python call."""
    label: str = ""
    """The call in words."""
    named: tuple[str, ...] = ()
    """A complaint says one of these: the damaged file or option."""
    writes: tuple[str, ...] = ()
    """Files and folders that a success may leave."""
    special: Mapping[str, str] = field(default_factory=dict)
    """Names that are no plain files: `fifo`, `zero`, `folder`, `locked`, `loop`, or `-> TARGET`."""
    edits: tuple[str, ...] = ()
    """Files that the command may change, for good or ill."""


Make = Callable[[Random], Input]


def file(name: str, text: str, *words: str, writes: tuple[str, ...] = ()) -> Input:
    """A file beside a network and a topology, and a command."""
    return Input({**NET, name: text.encode()}, words, writes=writes)


def bundle(folder: str) -> dict[str, bytes]:
    """The tiny bundle's files in a folder."""
    return {f"{folder}/{name}": content for name, content in seeds.bundle_files().items()}


NET = {"net.yaml": seeds.CONV.encode(), "layers.csv": seeds.CONV_CSV.encode()}
