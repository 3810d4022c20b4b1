"""The whole state of a network as a few plain arrays, so that one compiled loop can advance it.

N routers of 5 ports, V virtual channels, B flits each. An input queue has the number (node x 8 + port) x v + vc,
and so has an output channel, where v is V rounded up to a power of two: parts of a number are found by shifts,
the numbers in between are never used. A flit is packet x 2 + (1 for a tail).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray, IntArray
from accelsim.noc.topology import PORTS, Mesh
from accelsim.noc.traffic import NocSpec

NEVER = np.iinfo(np.int64).max // 4

# States of an input queue: nothing to do, head waits for an output channel, packet under way.
IDLE, WAITING, ACTIVE = range(3)

PORT_BITS = 3  # a router's ports are numbered by so many bits

# Columns of State.queues: the input queue of that number ...
(
    FIRST,  # place of its oldest flit in the ring
    COUNT,  # flits in it
    STATUS,
    READY,  # cycle from which it may ask for a channel, or for the switch
    WANTED,  # output port of the packet in front
    RING,  # class of the packet's channel: 0, or 1 beyond the dateline of a ring
    OUTPUT,  # output channel held, as port x v + vc
    PLACE,  # where it stands in State.busy
    ACCEPT,  # round-robin pointer of VC allocation, input side
    SOURCE_CREDITS,  # free places as the tile knows them (local port only)
    # ... and the output channel of that number
    TAKEN,  # 1 while a packet holds it
    CREDITS,  # free places behind it
    GRANT,  # round-robin pointer of VC allocation, output side
    QUEUE_COLUMNS,
) = range(14)

# Columns of State.ports.
(
    PEER,  # input port (node x 8 + port) an output leads to, and output an input hangs on; -1 at an edge
    SWITCH_GRANT,  # round-robin pointers of switch allocation
    SWITCH_ACCEPT,
    SWITCH_VC,  # between the virtual channels of one input that want the same output
    LINK_FLITS,
    PORT_COLUMNS,
) = range(6)

# Columns of State.tiles.
(
    NEXT_TIME,  # creation of the packet it sends, or will send next
    SENDING,  # packet slot, -1 between packets
    LEFT,  # flits of it not yet sent
    SOURCE_VC,
    NEXT_MESSAGE,  # messages: the next of its packet slots, and the one after its last
    END_MESSAGE,
    BUSY,  # input queues of its router that hold flits
    ROW,
    COL,
    FIXED,  # random traffic: destination, -1 for uniform, -2 for a row of `cumulative`
    AWAKE,  # 1 while its router is in State.running
    STALLED,  # 1 while it waits for a credit to send
    TILE_COLUMNS,
) = range(13)

# Columns of State.packets.
DESTINATION, LENGTH, CREATED, INJECTED, ARRIVED, PACKET_COLUMNS = range(6)

# Entries of State.totals. The window is given to `advance`; sums are over packets created within it.
(
    NOW,
    PENDING,  # flits and credits on their way
    RUNNING,  # routers that may have something to do
    HOLDING,  # routers with something in their buffers
    LAST_MOVE,
    FREE,  # free packet slots
    FLITS_OUT,  # flits that reached their tile within the window
    FLITS_IN,
    OUTSTANDING,  # packets not yet arrived
    DONE,
    LATENCY,
    NETWORK_LATENCY,
    WORST,
    SAMPLE_DONE,  # all packets since the caller last cleared these two
    SAMPLE_LATENCY,
    WINDOW_DONE,  # packets that arrived within the window
    WINDOW_LATENCY,
    WINDOW_NETWORK_LATENCY,
    TOTALS,
) = range(19)

# How `advance` ended.
TIME_UP, DELIVERED, DEADLOCK = range(3)

HISTOGRAM_BINS = 8192


class Delays(NamedTuple):
    """Cycles between cause and effect, from the moment a switch grant is made (or a flit arrives)."""

    routing: int
    vc_alloc: int
    flit: int
    """Switch grant to arrival at the next router."""
    credit: int
    """Switch grant to a usable credit upstream."""
    inject: int
    """Tile sends to arrival at its router."""
    source_credit: int
    """Switch grant to a usable credit at the tile."""
    eject: int
    """Switch grant to arrival at the tile."""
    eject_credit: int
    """Arrival at the tile to a usable credit in its router."""


class State(NamedTuple):
    """Arrays of one network; the columns are named above."""

    queues: IntArray  # [N*8*v, QUEUE_COLUMNS]
    buffer: IntArray  # [N*8*v, B] flits, a ring each
    ports: IntArray  # [N*8, PORT_COLUMNS]
    tiles: IntArray  # [N, TILE_COLUMNS]
    packets: IntArray  # [slots, PACKET_COLUMNS]
    busy: IntArray  # [N, 5*V] input queues that hold flits, as port x v + vc
    running: IntArray  # [N] routers with busy queues that may have something to do
    flits: IntArray  # [W, 1 + 2 E] calendar of W (a power of two) cycles: a number, then targets and flits in pairs
    credits: IntArray  # [W, 1 + E] likewise: a number, then targets
    free: IntArray  # stack of free packet slots (random traffic)
    random: npt.NDArray[np.uint64]  # [N] random state of each tile
    rate: FloatArray  # [N] packets per cycle
    cumulative: FloatArray  # [N, N] running sums of the traffic matrix, or empty
    histogram: IntArray  # latencies of the packets of the window
    totals: IntArray


def delays_of(spec: NocSpec) -> Delays:
    """The delays that follow from a specification.

    A flit is sent at the end of its last cycle in the router and seen in the cycle after the link's last.
    """
    grant = spec.sw_alloc_delay - 1
    return Delays(
        routing=spec.routing_delay,
        vc_alloc=spec.vc_alloc_delay,
        flit=grant + spec.st_delay + spec.link_delay + 1,
        credit=grant + spec.link_delay + 1 + spec.credit_delay,
        inject=spec.local_delay + 1,
        source_credit=grant + spec.local_delay + 1,
        eject=grant + spec.st_delay + spec.local_delay + 1,
        eject_credit=spec.local_delay + 1 + spec.credit_delay,
    )


def vc_bits(vcs: int) -> int:
    """Bits that number so many virtual channels."""
    return (vcs - 1).bit_length()


def new_state(mesh: Mesh, spec: NocSpec, packets: int, **given: Any) -> State:
    """An empty network with room for so many packets; `given` replaces any array."""
    nodes = mesh.nodes
    ports = nodes << PORT_BITS
    queues = ports << vc_bits(spec.vcs)
    inside = mesh.neighbours >= 0
    peers = np.full((nodes, 1 << PORT_BITS), -1, np.int64)
    peers[:, :4][inside] = ((mesh.neighbours << PORT_BITS) + (np.arange(4) ^ 1))[inside]
    horizon = 1 << max(delays_of(spec)).bit_length()
    events = nodes * (PORTS + 2)  # at most: one flit or credit per port, and per tile either way
    arrays: dict[str, Any] = {
        "queues": np.zeros((queues, QUEUE_COLUMNS), np.int64),
        "buffer": np.zeros((queues, spec.buffer_flits), np.int64),
        "ports": np.zeros((ports, PORT_COLUMNS), np.int64),
        "tiles": np.zeros((nodes, TILE_COLUMNS), np.int64),
        "packets": np.full((packets, PACKET_COLUMNS), -1, np.int64),
        "busy": np.zeros((nodes, PORTS * spec.vcs), np.int64),
        "running": np.zeros(nodes, np.int64),
        "flits": np.zeros((horizon, 1 + 2 * events), np.int64),
        "credits": np.zeros((horizon, 1 + events), np.int64),
        "free": np.zeros(0, np.int64),
        "random": np.zeros(nodes, np.uint64),
        "rate": np.zeros(nodes),
        "cumulative": np.zeros((0, 0)),
        "histogram": np.zeros(HISTOGRAM_BINS, np.int64),
        "totals": np.zeros(TOTALS, np.int64),
    }
    state = State(**{**arrays, **given})
    state.queues[:, [CREDITS, SOURCE_CREDITS]] = spec.buffer_flits
    state.ports[:, PEER] = peers.ravel()
    state.tiles[:, NEXT_TIME] = NEVER
    state.tiles[:, [SENDING, FIXED]] = -1
    state.tiles[:, ROW], state.tiles[:, COL] = np.divmod(np.arange(nodes), mesh.cols)
    return state


def link_flits(state: State) -> IntArray:
    """Flits that left by each port, [nodes, 5]."""
    return state.ports[:, LINK_FLITS].reshape(len(state.tiles), -1)[:, :PORTS].copy()
