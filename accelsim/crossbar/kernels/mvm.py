# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,assignment,unreachable"
"""Spikes through many row blocks: column currents, noise, conversion and accumulation in one pass.

Currents are in steps of the converter (the caller divides once, by scaling the matrices). Matrices stand in tiles
of 64 numbers per row, with read noise 32 columns and their variances side by side, so that one pass over the
spikes of a read forms both in registers; noise and conversion follow while they are in the first-level cache.
Rows without a spike are never touched. Every read is computed by itself and its noise depends on (seed, block,
read, column) alone, so results are the same on any number of threads and however reads are cut into batches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange

from accelsim.core.compiled import njit
from accelsim.core.types import IntArray
from accelsim.crossbar.kernels.bits import TILE_FLOATS, population, sum_rows, trailing_zeros
from accelsim.crossbar.kernels.normal import GROUP, PAIRS, add_normals, fill_keys

# Reads that go through the tiles together: their sums and a tile stay in the nearer caches.
CHUNK = 256
# Of these, reads whose column sums are worked on together.
BATCH = 32

_FLAGS = {"contract", "nsz"}
_NONE, _UNIT = np.uint64(0), np.uint64(1)
_LINE = 64  # bytes of a cache line


class Matrices(NamedTuple):
    """Operand of `multiply`, as `pack_matrices` makes it."""

    tiles: npt.NDArray[np.float32]
    """[K, tiles, N, 64]; N filled up with zeros to whole words, so that no bit of a word leads outside."""
    cols: int
    noisy: bool
    """Tiles hold 32 columns and their variances, else 64 columns."""


@njit(error_model="numpy")
def _list_rows(words, begin, listed, driven, active, silent_too):
    """Rows of the set bits of words [R, W], read after read, in `listed`; begin [R + 1] says where each starts.

    `active` [R] receives their numbers, `driven` the reads that have any (all of them with `silent_too`), whose
    number is returned.
    """
    at, count = begin[0], 0
    for r in range(words.shape[0]):
        for index in range(words.shape[1]):
            word = words[r, index]
            while word != _NONE:
                listed[at] = np.int32(64 * index) + np.int32(trailing_zeros(word))
                word &= word - _UNIT
                at += 1
        begin[r + 1] = at
        active[r] = at - begin[r]
        driven[count] = r
        count += silent_too or active[r] > 0
    return count


@njit(error_model="numpy", fastmath=_FLAGS)
def _convert(total, shift, low, high, gain, reads, width, sums):
    """sums [.., `width`] of `reads` += gain [64] times the codes of total [R, 64]; returns how many were clipped.

    `width` is a multiple of 32.
    """
    clipped = 0
    for i in range(reads.size):
        r = np.uint64(reads[i])
        missed = np.int32(0)
        for group in range(width // GROUP):
            first = np.uint64(group * GROUP)
            for lane in range(GROUP):
                j = first + np.uint64(lane)
                code = np.floor(total[i, j] + shift)
                kept = min(max(code, low), high)
                missed = np.int32(missed + np.int32(code != kept))
                sums[r, j] += gain[j] * np.int32(kept)
        clipped += missed
    return clipped


@njit(error_model="numpy")
def _multiply_chunk(words, tiles, noisy, seed, first_read, shift, low, high, gain, codes, sums, active_rows):
    """`mvm` for reads that fit the caches together; returns how many codes were clipped."""
    reads, n_blocks = words.shape[0], words.shape[1]
    cols, convert = gain.shape[1], codes.shape[0] > 0
    width = GROUP if noisy else TILE_FLOATS
    # A read without a spike in a block adds nothing and has no noise, unless zero has a code of its own.
    missed_by_silence = np.int64(not low <= np.floor(shift) <= high)
    skip_silent = not convert or (np.floor(shift) == 0 and missed_by_silence == 0)
    events = 0
    for r in range(reads):
        for k in range(n_blocks):
            for index in range(words.shape[2]):
                events += np.int64(population(words[r, k, index]))
    listed, begin = np.empty(events, np.int32), np.empty((n_blocks, reads + 1), np.int64)
    driven, n_driven = np.empty((n_blocks, reads), np.int64), np.empty(n_blocks, np.int64)
    keys = np.empty((n_blocks if noisy else 0, reads, 2), np.uint32)
    begin[0, 0] = 0
    for k in range(n_blocks):
        if k > 0:
            begin[k, 0] = begin[k - 1, reads]
        n_driven[k] = _list_rows(words[:, k], begin[k], listed, driven[k], active_rows[:, k], not skip_silent)
        if noisy:
            fill_keys(seed, k, first_read, keys[k])
    step = np.zeros(TILE_FLOATS, np.int32)
    whole = np.empty((reads if convert else 0, width), np.int32)
    analog = np.empty((0 if convert else reads, width), np.float32)
    total, batch_keys = np.empty((BATCH, TILE_FLOATS), np.float32), np.empty((BATCH, 2), np.uint32)
    total_at, row_bytes = total.ctypes.data, 4 * TILE_FLOATS
    radii, angles = np.empty(BATCH * PAIRS, np.uint32), np.empty(BATCH * PAIRS, np.uint32)
    squares = np.empty(BATCH * PAIRS, np.float32)
    missed = 0
    for tile in range(tiles.shape[1]):
        first_col = tile * width
        here = min(width, cols - first_col)
        whole[:] = 0
        analog[:] = 0
        for k in range(n_blocks):
            address = tiles[k, tile].ctypes.data
            for j in range(here):
                step[j] = gain[k, first_col + j]
            for i in range(0, n_driven[k], BATCH):
                batch = driven[k, i : min(i + BATCH, n_driven[k])]
                for n in range(batch.size):
                    r = np.uint64(batch[n])
                    rows = listed.ctypes.data + 4 * begin[k, r]
                    sum_rows(address, rows, begin[k, r + np.uint64(1)] - begin[k, r], total_at + n * row_bytes)
                    if noisy:
                        batch_keys[n, 0], batch_keys[n, 1] = keys[k, r, 0], keys[k, r, 1]
                if noisy:
                    add_normals(total, batch_keys, batch.size, tile, radii, angles, squares)
                if convert:
                    missed += _convert(total, shift, low, high, step, batch, width, whole)
                    missed -= (width - here) * batch.size * missed_by_silence
                else:
                    for n in range(batch.size):
                        r = np.uint64(batch[n])
                        for j in range(width):
                            analog[r, j] += total[n, j]
        for r in range(reads):
            if convert:
                for j in range(here):
                    codes[r, first_col + j] = whole[r, j]
            else:
                for j in range(here):
                    sums[r, first_col + j] = analog[r, j]
    return missed


@njit(error_model="numpy", parallel=True)
def mvm(words, tiles, noisy, seed, first_read, offset, low, high, gain, codes, sums, active_rows, clipped):
    """The whole product of spikes with K row blocks; `multiply` is the way in.

    words [B, K, W] uint64; `tiles` and `noisy` as in `Matrices`, in converter steps. With codes [B, M] int32
    given, fills them with the sums of gain [K, M] times the codes low..high of each block; else (codes [0, M])
    fills sums [B, M] with the analog sums. Fills active_rows [B, K] and clipped [chunks of reads].
    """
    shift = offset + np.float32(0.5)
    for chunk in prange(clipped.size):
        start = chunk * CHUNK
        stop = min(start + CHUNK, words.shape[0])
        clipped[chunk] = _multiply_chunk(
            words[start:stop], tiles, noisy, seed, first_read + start, shift, low, high, gain,
            codes[start:stop], sums[start:stop], active_rows[start:stop],
        )  # fmt: skip


def multiply(
    words: npt.NDArray[np.uint64],
    matrices: Matrices,
    gain: npt.NDArray[np.int32],
    adc: tuple[float, int, int] | None,
    seed: int = 0,
    first_read: int = 0,
) -> tuple[npt.NDArray[Any], IntArray, int]:
    """Columns [B, M], active rows [B, K] and clipped conversions of the spikes words [B, K, W] (`pack_spikes`).

    With `adc` = (offset, lowest code, highest code) the columns are sums over the blocks of gain [K, M] times
    codes (int32), else analog sums (float32). Where the matrices hold variances, `seed` (32 bits) draws the
    noise, read b as number `first_read` + b.
    """
    reads, blocks = words.shape[:2]
    assert (blocks, 64 * words.shape[2]) == (matrices.tiles.shape[0], matrices.tiles.shape[2])
    codes = np.empty((reads if adc else 0, matrices.cols), dtype=np.int32)
    sums = np.empty((0 if adc else reads, matrices.cols), dtype=np.float32)
    active = np.empty((reads, blocks), dtype=np.int64)
    clipped = np.zeros(-(-reads // CHUNK), dtype=np.int64)
    limits = [np.float32(limit) for limit in adc or (0, 0, 0)]
    mvm(words, matrices.tiles, matrices.noisy, seed, first_read, *limits, gain, codes, sums, active, clipped)
    return (codes if adc else sums), active, int(clipped.sum())


def pack_matrices(matrices: npt.NDArray[np.floating[Any]], variances: npt.NDArray[np.floating[Any]] | None) -> Matrices:
    """Operand of `multiply` from matrices [K, N, M] and the variances [K, N, M] that a spike adds, if any."""
    blocks, rows, cols = matrices.shape
    width = TILE_FLOATS if variances is None else GROUP
    n_tiles, padded = -(-cols // width), -(-rows // 64) * 64
    size = blocks * n_tiles * padded * TILE_FLOATS
    raw = np.zeros(size + _LINE // 4, dtype=np.float32)
    skip = -raw.ctypes.data % _LINE // 4
    tiles = raw[skip : skip + size].reshape(blocks, n_tiles, padded, TILE_FLOATS)
    for tile in range(n_tiles):
        part = slice(tile * width, min((tile + 1) * width, cols))
        here = part.stop - part.start
        tiles[:, tile, :rows, :here] = matrices[:, :, part]
        if variances is not None:
            tiles[:, tile, :rows, GROUP : GROUP + here] = variances[:, :, part]
    return Matrices(tiles, cols, variances is not None)


def pack_spikes(spikes: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Operand of `multiply` from flags [..., N]: words [..., ceil(N / 64)], row n in bit n % 64 of word n // 64."""
    flags = np.asarray(spikes).astype(bool)
    bits = np.packbits(flags, axis=-1, bitorder="little")
    fill = -bits.shape[-1] % 8
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, fill)])
    return np.ascontiguousarray(padded).view(np.dtype("<u8")).astype(np.uint64, copy=False)
