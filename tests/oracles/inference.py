"""Packing, reassembly and entropy of the executor in plain numpy."""

from __future__ import annotations

import numpy as np

from accelsim.core.types import Array, FloatArray, IntArray, Words


def pack_channels(codes: Array, bit: int, rows: int, words: Words) -> None:
    """Bits of one plane, row blocks in words; `words` is zero before."""
    flags = (codes >> bit & 1).astype(bool)
    for block in range(words.shape[1]):
        part = flags[:, block * rows : (block + 1) * rows]
        padded = np.zeros((len(part), words.shape[2] * 64), dtype=bool)
        padded[:, : part.shape[1]] = part
        words[:, block] = np.packbits(padded, axis=1, bitorder="little").view("<u8")


def reassemble(columns: Array, index: IntArray, factor: FloatArray, scale: float, outputs: FloatArray) -> None:
    """Outputs from the codes of columns."""
    outputs += scale * (columns[:, index] * factor).sum(axis=2)


def running_entropy(logits: Array) -> FloatArray:
    """H = log S - sum(e^z z) / S, z the logits less their largest, S = sum(e^z)."""
    steps = np.arange(1, len(logits) + 1)[:, None, None]
    z = np.cumsum(np.asarray(logits, dtype=np.float64), axis=0)
    z = (z - z.max(axis=2, keepdims=True)) / steps
    e = np.exp(z)
    mass = e.sum(axis=2)
    return np.asarray(np.maximum(np.log(mass) - (e * z).sum(axis=2) / mass, 0.0))
