"""What a network is made of and what it carries: `NocSpec`, and `Messages` with their start cycles."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import array, count, instance, listing, refuse
from accelsim.core.types import IntArray
from accelsim.noc.topology import Mesh

MAX_VCS = 64
MAX_BUFFER_FLITS = 4096
MAX_DELAY_CYCLES = 4096


@dataclass(frozen=True)
class NocSpec:
    """Routers and links of a network. All delays in cycles of the network's clock.

    The router is an input-queued wormhole router with credits: look-ahead or explicit routing, virtual-channel
    allocation, switch allocation, switch traversal, link. With the defaults a head flit takes 4 cycles per
    router and link (1 + 1 + 1 + 1). Both allocators are one iteration of iSLIP (McKeown, IEEE/ACM Trans.
    Networking 7(2), 1999). An output virtual channel is free for the next packet once the tail has left.

    Raises:
        InputError: a value outside its range.
    """

    vcs: int = 2
    """Virtual channels per port; a torus needs at least two (one on either side of the dateline)."""
    buffer_flits: int = 8
    """Flits of buffer per virtual channel and input port."""
    flit_bits: int = 64
    """Payload of one flit."""
    routing_delay: int = 0
    """0: the route was computed one router ahead."""
    vc_alloc_delay: int = 1
    sw_alloc_delay: int = 1
    st_delay: int = 1
    """Switch traversal."""
    link_delay: int = 1
    """Between routers; credits take as long on their way back."""
    local_delay: int = 1
    """Between a tile and its router."""
    credit_delay: int = 1
    """Processing of a received credit in a router."""

    def __post_init__(self) -> None:
        lowest = {"routing_delay": 0, "credit_delay": 0}
        for name in self.__dataclass_fields__:
            value, least = count(getattr(self, name), name, least=-sys.maxsize, most=sys.maxsize), lowest.get(name, 1)
            if value < least:
                raise InputError(Problem(f"found {value}, expected {least} or more", where=name))
            most = {"vcs": MAX_VCS, "buffer_flits": MAX_BUFFER_FLITS}.get(name, MAX_DELAY_CYCLES)
            if value > most and name != "flit_bits":
                raise InputError(Problem(f"found {value}, at most {most}", where=name))

    def check(self, mesh: Mesh) -> None:
        """Raise InputError where the network could deadlock: a torus without two virtual channels."""
        instance(mesh, Mesh, "mesh", "a Mesh")
        if mesh.torus and self.vcs < 2:
            raise InputError(
                Problem("a torus needs 2 virtual channels or more: its rings would deadlock with one", where="vcs")
            )

    def flits(self, bits: npt.ArrayLike) -> IntArray:
        """Flits that carry so many bits; at least one."""
        return np.maximum(-(-whole_numbers(bits, "bits") // self.flit_bits), 1)


def whole_numbers(values: npt.ArrayLike, where: str) -> IntArray:
    """Whole numbers as int64; an empty list of any type is one of whole numbers."""
    numbers = array(values, where)
    if numbers.size and (numbers.dtype.kind not in "iu" or numbers.max() > np.iinfo(np.int64).max):
        raise refuse("expected one column of whole numbers", where)
    return numbers.astype(np.int64)


@dataclass(frozen=True)
class Messages:
    """Packets by column, each [n]: a message is one packet, and travels as one worm."""

    source: IntArray
    """Tile numbers."""
    destination: IntArray
    """Tile numbers; a message to its own tile passes that tile's router alone."""
    flits: IntArray
    """Length, 1 or more."""
    cycle: IntArray
    """Earliest cycle at which the head flit may leave its tile."""

    @classmethod
    def of(
        cls,
        source: npt.ArrayLike,
        destination: npt.ArrayLike,
        flits: npt.ArrayLike = 1,
        cycle: npt.ArrayLike = 0,
    ) -> Messages:
        """Columns from anything array-like; single numbers are repeated.

        Raises:
            InputError: columns of different lengths, or a value that is no whole number.
        """
        given = {"source": source, "destination": destination, "flits": flits, "cycle": cycle}
        columns = [np.atleast_1d(whole_numbers(value, name)) for name, value in given.items()]
        for name, column in zip(given, columns, strict=True):
            if column.ndim != 1:
                raise refuse("expected one column of whole numbers", name)
        try:
            columns = list(np.broadcast_arrays(*columns))
        except ValueError:
            lengths = ", ".join(str(len(column)) for column in columns)
            raise InputError(Problem(f"columns of different lengths: {lengths}", where="messages")) from None
        return cls(*(np.ascontiguousarray(column, dtype=np.int64) for column in columns))

    @classmethod
    def multicast(cls, sources: Any, destinations: Any, flits: npt.ArrayLike = 1, cycle: npt.ArrayLike = 0) -> Messages:
        """Each message to several tiles, as one packet for each: the routers do not copy flits.

        `destinations[i]` lists the tiles of message i; `flits` and `cycle` are [n] or one number.
        """
        lists = [
            whole_numbers(tiles, "destinations") for tiles in listing(destinations, "destinations", "lists of tiles")
        ]
        if any(tiles.ndim != 1 for tiles in lists):
            raise refuse("expected a list of tiles for each message", "destinations")
        fan_out = [len(tiles) for tiles in lists]
        each = np.repeat(np.arange(len(fan_out)), fan_out)

        def spread(values: npt.ArrayLike, name: str) -> IntArray:
            column = whole_numbers(values, name)
            if column.shape not in ((), (len(fan_out),)):
                raise refuse(f"found shape {list(column.shape)}, expected [{len(fan_out)}] or one number", name)
            return np.broadcast_to(column, (len(fan_out),))[each]

        flat = np.concatenate([*lists, np.zeros(0, np.int64)])
        return cls.of(spread(sources, "sources"), flat, spread(flits, "flits"), spread(cycle, "cycle"))

    def __len__(self) -> int:
        return len(self.source)

    def split(self, packet_flits: int) -> tuple[Messages, IntArray]:
        """Messages cut into packets of at most `packet_flits`, and the message each packet belongs to."""
        packet_flits = count(packet_flits, "packet_flits")
        parts = -(-self.flits // packet_flits)
        owner = np.repeat(np.arange(len(self)), parts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
        flits = np.minimum(self.flits[owner] - place * packet_flits, packet_flits)
        return Messages(self.source[owner], self.destination[owner], flits, self.cycle[owner]), owner

    def check(self, mesh: Mesh) -> None:
        """Raise InputError, naming the first bad message, unless all can travel on `mesh`."""
        for name, values, low, high in (
            ("source", self.source, 0, mesh.nodes - 1),
            ("destination", self.destination, 0, mesh.nodes - 1),
            ("flits", self.flits, 1, None),
            ("cycle", self.cycle, 0, None),
        ):
            bad = (values < low) | (values > high) if high is not None else values < low
            if bad.any():
                first = int(np.argmax(bad))
                allowed = f"{low} to {high} on a {mesh}" if high is not None else f"{low} or more"
                raise InputError(
                    Problem(f"found {values[first]}, expected {allowed}", where=f"messages[{first}].{name}")
                )
