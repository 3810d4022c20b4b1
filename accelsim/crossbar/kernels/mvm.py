# Numba infers the types of compiled functions; only their numpy siblings are annotated.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,assignment,unreachable"
"""Spikes through many row blocks: column currents, noise, conversion and accumulation in one pass.

Currents are in steps of the converter (the caller divides once, by scaling the matrices). Reads are
handled in chunks of `CHUNK`; a chunk of a block whose rows are mostly silent is summed spike by spike, a
busier one is unpacked and multiplied by BLAS. The choice depends on the data alone and noise on (seed,
read, block, column) alone, so results are the same on any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from accelsim.crossbar.kernels.bits import population, trailing_zeros
from accelsim.crossbar.kernels.normal import fill_normals, normals_numpy

CHUNK = 256
# Share of spiking rows above which unpacking and a dense product is cheaper than adding rows
# (measured: the two meet between 0.1 and 0.25 for 64 to 256 columns).
DENSE_ABOVE = 0.15

_FLAGS = {"contract", "nsz"}
_NONE, _UNIT = np.uint64(0), np.uint64(1)


@njit(cache=True, error_model="numpy")
def _list_active(words, rows, active, counts):
    """For each read the indices of its set bits in active [R, rows + 4], filled up to fours with `rows`."""
    for r in range(words.shape[0]):
        count = 0
        for index in range(words.shape[1]):
            word = words[r, index]
            while word != _NONE:
                active[r, count] = 64 * index + np.int64(trailing_zeros(word))
                word &= word - _UNIT
                count += 1
        for fill in range(4):
            active[r, count + fill] = rows
        counts[r] = count


@njit(cache=True, error_model="numpy")
def _unpack(words, dense):
    """words [R, W] as numbers 0 and 1 in dense [R, 64 W]."""
    for r in range(words.shape[0]):
        for index in range(words.shape[1]):
            word = words[r, index]
            for bit in range(64):
                dense[r, 64 * index + bit] = np.float32(np.int32(word >> np.uint64(bit) & _UNIT))


@njit(cache=True, error_model="numpy", fastmath=_FLAGS)
def _add_rows(matrix, active, counts, total):
    """total [R, W] = sum of the listed rows of matrix [.., W], four at a time; its last row is zero."""
    width = total.shape[1]
    for r in range(total.shape[0]):
        a, b = np.uint32(active[r, 0]), np.uint32(active[r, 1])
        c, d = np.uint32(active[r, 2]), np.uint32(active[r, 3])
        for j in range(width):
            total[r, j] = (matrix[a, j] + matrix[b, j]) + (matrix[c, j] + matrix[d, j])
        for k in range(4, counts[r], 4):
            a, b = np.uint32(active[r, k]), np.uint32(active[r, k + 1])
            c, d = np.uint32(active[r, k + 2]), np.uint32(active[r, k + 3])
            for j in range(width):
                total[r, j] += (matrix[a, j] + matrix[b, j]) + (matrix[c, j] + matrix[d, j])


@njit(cache=True, error_model="numpy", fastmath=_FLAGS)
def _add_noise(total, cols, z):
    """total [R, 2 M]: the first M columns += sqrt(the last M) z, z as `fill_normals` leaves it."""
    reads = total.shape[0]
    half = (cols + 1) // 2
    for r in range(reads):
        left, right = total[r, :half], total[r, half:cols]
        left_variance, right_variance = total[r, cols : cols + half], total[r, cols + half :]
        z_left, z_right = z[r * half :], z[(reads + r) * half :]
        for j in range(left.size):
            left[j] += np.sqrt(np.abs(left_variance[j])) * z_left[j]
        for j in range(right.size):
            right[j] += np.sqrt(np.abs(right_variance[j])) * z_right[j]


@njit(cache=True, error_model="numpy", fastmath=_FLAGS)
def _convert(total, offset, low, high, gain, out):
    """out [R, M] += gain [M] times the code of total [R, M]; returns how many codes were clipped."""
    half, clipped = np.float32(0.5), 0
    for r in range(total.shape[0]):
        target = out[r]
        row = total[r, : target.size]
        for j in range(target.size):
            code = np.floor(row[j] + offset + half)
            clipped += (code < low) | (code > high)
            code = min(max(code, low), high)
            target[j] += gain[j] * np.int32(code)
    return clipped


@njit(cache=True, error_model="numpy", parallel=True)
def mvm(words, matrices, cols, seed, first_read, offset, low, high, gain, codes, sums, active_rows, clipped):
    """The whole product of spikes with K row blocks; see `pack_matrices` for the operands.

    words [B, K, W] uint64; matrices [K, 64 W + 1, M or 2 M] float32 in converter steps. With
    codes [B, M] int32 given, adds gain [K, M] times the codes low..high of each block; else (codes [0, M])
    adds the analog sums to sums [B, M]. Fills active_rows [B, K] and clipped [chunks of reads].
    """
    n_reads, n_blocks = words.shape[0], words.shape[1]
    rows, width = matrices.shape[1] - 1, matrices.shape[2]
    half = (cols + 1) // 2
    noisy, convert = width > cols, codes.shape[0] > 0
    for chunk in prange(clipped.size):
        start = chunk * CHUNK
        stop = min(start + CHUNK, n_reads)
        reads = stop - start
        total = np.empty((reads, width), np.float32)
        dense = np.empty((reads, rows), np.float32)
        active, counts = np.empty((reads, rows + 4), np.int32), np.empty(reads, np.int64)
        z = np.empty(2 * reads * half if noisy else 0, np.float32)
        radius = np.empty(reads * half if noisy else 0, np.float32)
        mantissa, angle = np.empty_like(radius), np.empty_like(radius)
        missed = 0
        for k in range(n_blocks):
            events = 0
            for r in range(start, stop):
                count = 0
                for index in range(words.shape[2]):
                    count += np.int64(population(words[r, k, index]))
                active_rows[r, k] = count
                events += count
            if events > DENSE_ABOVE * reads * rows:
                _unpack(words[start:stop, k], dense)
                np.dot(dense, matrices[k, :rows], total)
            else:
                _list_active(words[start:stop, k], rows, active, counts)
                _add_rows(matrices[k], active, counts, total)
            if noisy and events > 0:
                fill_normals(seed, k, (first_read + start) * half, z, radius, mantissa, angle)
                _add_noise(total, cols, z)
            if convert:
                missed += _convert(total, offset, low, high, gain[k], codes[start:stop])
            else:
                for r in range(reads):
                    row, target = total[r, :cols], sums[start + r]
                    for j in range(cols):
                        target[j] += row[j]
        clipped[chunk] = missed


def pack_matrices(
    matrices: npt.NDArray[np.floating[Any]], variances: npt.NDArray[np.floating[Any]] | None
) -> npt.NDArray[np.float32]:
    """Operand of `mvm` from matrices [K, N, M] and the variances [K, N, M] that a spike adds, if any.

    Rows are filled up with zeros to whole words of 64 and one more; variances stand right of the matrices, so
    that one pass forms both.
    """
    blocks, rows, cols = matrices.shape
    padded = -(-rows // 64) * 64 + 1
    packed = np.zeros((blocks, padded, cols if variances is None else 2 * cols), dtype=np.float32)
    packed[:, :rows, :cols] = matrices
    if variances is not None:
        packed[:, :rows, cols:] = variances
    return packed


def mvm_numpy(
    spikes: npt.NDArray[np.bool_],
    matrices: npt.NDArray[np.float32],
    variances: npt.NDArray[np.float32] | None,
    seed: int,
    adc: tuple[float, int, int] | None,
    gain: npt.NDArray[np.int32],
    first_read: int = 0,
) -> tuple[npt.NDArray[np.float64], int]:
    """Sibling of `mvm` in double precision: spikes [B, K, N], matrices [K, N, M], gain [K, M].

    `adc` is (offset, lowest code, highest code) or None for the analog sum. Returns ([B, M], clipped).
    """
    n_reads, n_blocks, _ = spikes.shape
    cols = matrices.shape[2]
    half = (cols + 1) // 2
    out, clipped = np.zeros((n_reads, cols)), 0
    for k in range(n_blocks):
        total = spikes[:, k].astype(np.float64) @ matrices[k].astype(np.float64)
        if variances is not None:
            spread = spikes[:, k].astype(np.float64) @ variances[k].astype(np.float64)
            for chunk in range(0, n_reads, CHUNK):
                reads = min(CHUNK, n_reads - chunk)
                z = normals_numpy(seed, k, (first_read + chunk) * half, reads * half)
                z = np.concatenate(z.reshape(2, reads, half), axis=1)[:, :cols]
                total[chunk : chunk + reads] += np.sqrt(spread[chunk : chunk + reads]) * z
        if adc is None:
            out += total
        else:
            offset, low, high = adc
            code = np.floor(total + offset + 0.5)
            clipped += int(((code < low) | (code > high)).sum())
            out += gain[k] * np.clip(code, low, high)
    return out, clipped


def pack_spikes(spikes: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Operand of `mvm` from flags [..., N]: words [..., ceil(N / 64)], row n in bit n % 64 of word n // 64."""
    flags = np.asarray(spikes).astype(bool)
    bits = np.packbits(flags, axis=-1, bitorder="little")
    fill = -bits.shape[-1] % 8
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, fill)])
    return np.ascontiguousarray(padded).view(np.dtype("<u8")).astype(np.uint64, copy=False)
