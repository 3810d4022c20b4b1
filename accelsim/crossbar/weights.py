"""Signed integer weights on unsigned cells: slices, signed schemes, complement coding, exact decoding.

A weight of b bits, -2^(b-1) .. 2^(b-1), becomes an unsigned number, the number becomes ceil(bits / c)
slices of c bits, each the code of one cell, least significant first. Signed schemes:

``diff``               one number per weight: w for w >= 0, w + 2^(b-1) for w < 0; the read gives too much by
                       2^(b-1) times the active negative weights, which is subtracted digitally. Their
                       number comes from a one-bit sign column per weight column (``sign: column``, read and
                       converted like any other) or from a digital count (``sign: popcount``). SpikeSim's
                       DIFF module (spikesim NICE_Evaluation/hw_models_new.py; A. Moitra et al., TCAD 2023).
``differential_pair``  two numbers per weight, max(w, 0) and max(-w, 0), subtracted after conversion.
``offset_column``      w + 2^(b-1), and per array one column that holds 2^(b-1) in every row, subtracted.

With complement coding a column (or a whole array) stores 2^c - 1 - code instead of the code where this
leaves less conductance; the read then gives (2^c - 1) times the active rows minus what was asked for, and
is corrected from the count of active rows. Every scheme reassembles s @ w exactly from exact column sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.core.types import BoolArray, FloatArray, IntArray
from accelsim.crossbar import checks

SCHEMES = ("diff", "differential_pair", "offset_column")
COMPLEMENTS = ("none", "array", "column")
SIGNS = ("column", "popcount")


def quantise(weights: npt.ArrayLike, bits: int) -> IntArray:
    """Integer weights of real ones in [-1, 1], as SpikeSim does: 2^b values without a zero.

    q = 2 (round((w + 1) / 2 (2^b - 1)) / (2^b - 1) - 1/2), code = round(q 2^(b-1)), both to even, in single
    precision (NICE_Evaluation/hw_inference.py). For 4 bits the codes are -8 .. -1, 1 .. 8.
    Raises `InputError` for weights outside [-1, 1], where that tool wraps or fails.
    """
    checks.whole(bits, 1, 16, "weights.bits")
    w = np.asarray(weights, dtype=np.float32)
    if w.size and not np.abs(w).max() <= 1:
        raise checks.refuse(f"weights reach {np.abs(w).max():g}; scale them into [-1, 1]", "weights")
    steps = np.float32(2**bits - 1)
    q = np.float32(2) * (np.rint((w + np.float32(1)) / np.float32(2) * steps) / steps - np.float32(0.5))
    return np.asarray(np.rint(q * np.float32(2 ** (bits - 1))), dtype=np.int64)


@dataclass(frozen=True)
class Encoding:
    """Weights [K, M] as cell codes [K, P], with everything needed to undo it."""

    codes: IntArray
    """[K, P] cell codes 0 .. 2^c - 1, complemented columns included. K rows, P physical columns."""
    combine: IntArray
    """[P, M]: how often each physical column counts in each output (shifts and signs)."""
    per_active_row: IntArray
    """[M]: added for every active row (what complementing took away)."""
    flipped: BoolArray
    """[P]: columns stored complemented."""
    negative: BoolArray | None
    """[K, M] negative weights where they are counted digitally (``diff`` with ``popcount``)."""
    bits: int
    cell_bits: int
    scheme: str

    @property
    def low_resistance_share(self) -> float:
        """Share of cells in the more conducting half of their range, code >= 2^(c-1)."""
        return float((self.codes >= 2 ** (self.cell_bits - 1)).mean())

    def column_sums(self, inputs: npt.ArrayLike) -> IntArray:
        """[B, P] what ideal columns give for inputs [B, K]."""
        return np.asarray(np.asarray(inputs, dtype=np.int64) @ self.codes)

    def decode(
        self, sums: npt.ArrayLike, active_rows: npt.ArrayLike, inputs: npt.ArrayLike | None = None
    ) -> FloatArray:
        """Outputs [B, M] from column sums [B, P] in weight steps and the sum of inputs [B].

        `inputs` [B, K] are needed where negative weights are counted digitally.
        """
        out = np.asarray(sums, dtype=np.float64) @ self.combine
        out = out + np.asarray(active_rows, dtype=np.float64)[..., None] * self.per_active_row
        if self.negative is not None:
            if inputs is None:
                raise checks.refuse("popcount needs the inputs as well as the sums", "weights.sign")
            counted = np.asarray(inputs, dtype=np.int64) @ self.negative.astype(np.int64)
            out = out - 2 ** (self.bits - 1) * counted
        return np.asarray(out)


def encode(
    weights: npt.ArrayLike,
    *,
    bits: int,
    cell_bits: int,
    scheme: str = "diff",
    complement: str = "none",
    sign: str = "column",
) -> Encoding:
    """Encode integer weights [K, M]; see the module for the schemes.

    `complement` decides by which unit the code or its complement is stored: ``none``, one choice per
    ``array`` or one per ``column``; the one with the smaller sum of codes, and so of conductance, is taken.
    Raises `InputError` for weights beyond -2^(b-1) .. 2^(b-1) (2^(b-1) - 1 for ``offset_column``).
    """
    w = np.asarray(weights)
    checks.whole(bits, 2, 16, "weights.bits")
    checks.whole(cell_bits, 1, 16, "weights.cell_bits")
    checks.choice(scheme, SCHEMES, "weights.scheme")
    checks.choice(complement, COMPLEMENTS, "weights.complement")
    checks.choice(sign, SIGNS, "weights.sign")
    half = 2 ** (bits - 1)
    top = half - 1 if scheme == "offset_column" else half
    if w.ndim != 2 or np.any(w != np.floor(w)) or (w.size and not (w.min() >= -half and w.max() <= top)):
        span = f"{w.min()} to {w.max()}" if w.size else "nothing"
        raise checks.refuse(f"{w.ndim}-dimensional, {span}; need whole numbers [K, M] from {-half} to {top}", "weights")
    w = w.astype(np.int64)
    # Every scheme: groups of unsigned numbers [K, M], the factor of each, and one-bit extras.
    if scheme == "diff":
        numbers, factors = [np.where(w < 0, w + half, w)], [1]
    elif scheme == "differential_pair":
        numbers, factors = [np.maximum(w, 0), np.maximum(-w, 0)], [1, -1]
    else:
        numbers, factors = [w + half], [1]
    largest = max(int(number.max(initial=0)) for number in numbers)
    if scheme == "offset_column":
        largest = max(largest, half)
    slices = max(1, -(-largest.bit_length() // cell_bits))
    mask = 2**cell_bits - 1
    outputs = np.eye(w.shape[1], dtype=np.int64)
    columns = [number >> (cell_bits * s) & mask for number in numbers for s in range(slices)]
    combine = [factor * 2 ** (cell_bits * s) * outputs for factor in factors for s in range(slices)]
    if scheme == "offset_column":
        middle = np.full((w.shape[0], 1), half, dtype=np.int64)
        everyone = np.ones((1, w.shape[1]), dtype=np.int64)
        columns += [middle >> (cell_bits * s) & mask for s in range(slices)]
        combine += [-(2 ** (cell_bits * s)) * everyone for s in range(slices)]
    if scheme == "diff" and sign == "column":
        columns.append((w < 0).astype(np.int64))
        combine.append(-half * outputs)
    codes, weight_of = np.hstack(columns), np.vstack(combine)
    flipped = _flips(codes, mask, complement)
    codes = np.where(flipped, mask - codes, codes)
    weight_of = np.where(flipped[:, None], -weight_of, weight_of)
    return Encoding(
        codes=codes,
        combine=weight_of,
        per_active_row=-mask * weight_of[flipped].sum(axis=0),
        flipped=flipped,
        negative=w < 0 if scheme == "diff" and sign == "popcount" else None,
        bits=bits,
        cell_bits=cell_bits,
        scheme=scheme,
    )


def _flips(codes: IntArray, mask: int, complement: str) -> BoolArray:
    total = codes.sum(axis=0)
    if complement == "column":
        return np.asarray(2 * total > mask * codes.shape[0])
    if complement == "array":
        return np.full(codes.shape[1], bool(2 * total.sum() > mask * codes.size))
    return np.zeros(codes.shape[1], dtype=bool)
