"""Products, random numbers and noise of a crossbar in plain numpy, in double precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.crossbar.kernels import normal
from accelsim.crossbar.kernels.normal import GROUP, PAIRS, philox2x32
from accelsim.crossbar.noise import row_response, sense_response
from accelsim.crossbar.reads import device_voltages_v
from accelsim.crossbar.solution import Wires

FloatArray = npt.NDArray[np.float64]


def mvm(
    spikes: npt.NDArray[np.bool_],
    matrices: npt.NDArray[np.float32],
    variances: npt.NDArray[np.float32] | None,
    seed: int,
    adc: tuple[float, int, int] | None,
    gain: npt.NDArray[np.int32],
    first_read: int = 0,
) -> tuple[npt.NDArray[np.float64], int]:
    """`multiply` in double precision: spikes [B, K, N], matrices [K, N, M], gain [K, M].

    Returns columns [B, M] and clipped conversions.
    """
    n_reads, n_blocks, _ = spikes.shape
    cols = matrices.shape[2]
    out, clipped = np.zeros((n_reads, cols)), 0
    for k in range(n_blocks):
        total = spikes[:, k].astype(np.float64) @ matrices[k].astype(np.float64)
        if variances is not None:
            spread = spikes[:, k].astype(np.float64) @ variances[k].astype(np.float64)
            total += np.sqrt(spread) * normals(seed, k, first_read, n_reads, cols)
        if adc is None:
            out += total
        else:
            offset, low, high = adc
            code = np.floor(total + offset + 0.5)
            clipped += int(((code < low) | (code > high)).sum())
            out += gain[k] * np.clip(code, low, high)
    return out, clipped


def words(
    seed: int, block: int, first_read: int, reads: int, pairs: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The two words [reads, pairs] behind each pair of normals."""
    counter = np.arange(first_read, first_read + reads, dtype=np.uint64) | np.uint64(block << 48)
    key0, key1 = (key[:, None] for key in philox2x32(counter & normal._LOW, counter >> normal._THIRTY_TWO, seed))
    index = np.arange(pairs, dtype=np.uint64)

    def mixed(start: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64], *constants: np.uint32, last: np.uint32):
        step, first, second = (np.uint64(constant) for constant in constants)
        word = (start + index * step) & normal._LOW
        word = (word ^ word >> normal._SIXTEEN) * first & normal._LOW
        word = (word ^ word >> np.uint64(15) ^ other) * second & normal._LOW
        return word ^ word >> np.uint64(last)

    return (
        mixed(key0, key1, normal._STEP_A, normal._MUL_A0, normal._MUL_A1, last=normal._S15),
        mixed(key1, key0, normal._STEP_B, normal._MUL_B0, normal._MUL_B1, last=normal._S16),
    )


def normals(seed: int, block: int, first_read: int, reads: int, cols: int) -> npt.NDArray[np.float64]:
    """Normals [reads, cols] that `add_normals` uses, in double precision."""
    groups = -(-cols // GROUP)
    a, b = words(seed, block, first_read, reads, groups * PAIRS)
    u = 1.0 - (a >> np.uint64(9)).astype(np.float64) * 2.0**-23
    angle = (np.pi / 2) * (b >> np.uint64(9)).astype(np.float64) * 2.0**-23
    sign_x, sign_y = (1.0 - 2.0 * (b >> np.uint64(bit) & np.uint64(1)).astype(np.float64) for bit in (0, 1))
    r = np.sqrt(-2.0 * np.log(u))
    pairs = (r * np.cos(angle) * sign_x, r * np.sin(angle) * sign_y)
    z = np.concatenate([part.reshape(reads, groups, PAIRS) for part in pairs], axis=2)
    return z.reshape(reads, -1)[:, :cols]


def eliminate(network: np.ndarray, n_out: int) -> np.ndarray:
    """The reduced network, symmetric with zero diagonal, from a full one."""
    network = np.array(network, dtype=np.float64)
    for p in range(n_out):
        star = network[p, p + 1 :]
        network[p + 1 :, p + 1 :] += np.outer(star, star) / star.sum()
    kept = network[n_out:, n_out:]
    np.fill_diagonal(kept, 0.0)
    return kept


def statistical_variance(
    conductance_s: npt.ArrayLike, sigma_s: npt.ArrayLike, wires: Wires, *, density: float = 0.2
) -> FloatArray:
    """`statistical_variance` of one array, put together from the responses of its rows and columns."""
    g = np.asarray(conductance_s, dtype=np.float64)
    together = device_voltages_v(g, np.ones(g.shape[0]), wires)
    across = density * together + (1.0 - density) * row_response(g, wires)
    return np.asarray(
        (np.broadcast_to(np.asarray(sigma_s, dtype=np.float64), g.shape) * across * sense_response(g, wires)) ** 2
    )
