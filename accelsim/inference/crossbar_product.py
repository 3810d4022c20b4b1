"""Products on crossbars: bit-planes through programmed arrays, noise, converters, signs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.exact import on_grid
from accelsim.core.types import FloatArray, Words
from accelsim.inference.arithmetic import Crossbars
from accelsim.inference.noisy import NoisyReads
from accelsim.inference.products import chunks, dense, with_bias
from accelsim.inference.programmed import GroupSet, Reader, group_sets, program
from accelsim.inference.values import Value
from accelsim.inference.weights import Layer
from accelsim.inference.windows import position_words

# Column currents of so many reads say enough about the range of a layer.
_CALIBRATION_READS = 2048


def sub_seed(*numbers: int) -> int:
    """A 32-bit seed from several numbers; different numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class CrossbarProduct:
    """A layer on crossbars. `calibrate` may follow, before the first call."""

    def __init__(self, layer: Layer, settings: Crossbars, weight_bits: int, seed: int, density: float) -> None:
        if not 2 <= weight_bits <= 16:
            message = f"found {weight_bits}; signed weights on crossbars have 2 to 16 bits"
            raise InputError(Problem(message, where="precision.weight_bits"))
        self._layer, self._settings, self._seed = layer, settings, seed
        self.sets: list[tuple[GroupSet, Reader]] = []
        for number, group_set in enumerate(group_sets(layer, settings.rows, settings.usable_cols)):
            draw = sub_seed(seed, layer.op.index, number, 0)
            programmed = program(group_set, settings, weight_bits, draw, density)
            self.sets.append((group_set, Reader(programmed, settings, group_set.weights.shape[1])))
        self._negative = None
        if settings.scheme == "diff" and settings.sign == "popcount":
            self._negative = Layer(layer.op, (layer.codes < 0).astype(np.int64), None)
        self._half = 2 ** (weight_bits - 1)
        self._noisy: list[NoisyReads] | None = None
        if settings.reads_noisily and settings.noise != "statistical":
            self._noisy = [NoisyReads(reader, settings) for _, reader in self.sets]

    @property
    def conversions(self) -> int:
        """ADC conversions made so far."""
        return sum(reader.conversions for _, reader in self.sets)

    @property
    def clipped(self) -> int:
        """Of these, how many hit the end of the range."""
        return sum(reader.clipped for _, reader in self.sets)

    def __call__(self, value: Value, step: int, first_image: int) -> Value:
        """See `products.Product`."""
        layer, gemm = self._layer, self._layer.op.products()
        total = np.zeros((value.images * gemm.m, gemm.groups * gemm.n))
        for bit, factor, codes in _planes(value.codes):
            # A bit that no input has costs nothing and gives nothing: its rows stay silent.
            seed = sub_seed(self._seed, layer.op.index, step, bit, int(factor > 0), 1)
            self._read(codes, bit, factor, seed, first_image, total)
        if self._negative is not None:
            counted = dense(value.codes, self._negative, np.float64)
            total -= self._half * counted.reshape(total.shape)
        return with_bias(total.reshape(value.images, *_channels_last(layer)), layer, value.unit)

    def _read(
        self, codes: npt.NDArray[Any], bit: int, factor: float, seed: int, first_image: int, total: FloatArray
    ) -> None:
        positions = self._layer.op.products().m
        for number, (group_set, reader) in enumerate(self.sets):
            words = position_words(codes[..., group_set.channels], bit, self._settings.rows)
            per_image = positions * group_set.blocks.n_blocks * 8 * words.shape[-1]
            for part in chunks(len(codes), per_image):
                reads = self._row_words(words[part])
                rows = slice(part.start * positions, part.stop * positions)
                into = total[rows, group_set.outputs]
                first = (first_image + part.start) * positions
                if self._noisy is None:
                    columns, active = reader.columns(reads, sub_seed(seed, number), first)
                else:
                    columns, active = self._noisy[number].columns(reads, sub_seed(seed, number), first)
                found = np.zeros(into.shape)
                reader.outputs(columns, active, factor, found)
                into += found

    def _row_words(self, words: Words) -> Words:
        """[reads, blocks, W] from words of positions [N, (*plane,) channel blocks, W]."""
        op = self._layer.op
        if op.field.slides:
            words = op.field.windows(words, 1)
        return np.ascontiguousarray(words).reshape(len(words) * op.products().m, -1, words.shape[-1])

    # -- calibration -----------------------------------------------------------------------------------

    def calibrate(self, value: Value) -> None:
        """Choose each kind of column's converter step for these inputs: the one with the smallest squared error.

        Candidates are powers of two of a weight step (so that codes reassemble by shifting); the error is of
        rounding and clipping together, over noise-free column currents of at most `_CALIBRATION_READS` reads.
        """
        if self._settings.adc_bits is None:
            return
        for index, (group_set, reader) in enumerate(self.sets):
            reads = [
                self._row_words(position_words(codes[..., group_set.channels], bit, self._settings.rows))
                for bit, _, codes in _planes(value.codes)
            ]
            if not reads:
                return  # a layer that never sees a spike has no range to measure; the widest stays
            words = np.concatenate(reads)
            if len(words) > _CALIBRATION_READS:
                words = words[np.linspace(0, len(words) - 1, _CALIBRATION_READS).astype(np.int64)]
            steps = _best_steps(reader, words, 2**self._settings.adc_bits - 1)
            outputs = group_set.weights.shape[1]
            self.sets[index] = (group_set, Reader(reader.programmed, self._settings, outputs, steps))
        if self._noisy is not None:
            self._noisy = [NoisyReads(reader, self._settings) for _, reader in self.sets]


def _planes(codes: npt.NDArray[Any]) -> list[tuple[int, float, npt.NDArray[Any]]]:
    """(bit, factor, non-negative codes) of every bit-plane; negative inputs are read apart and subtracted."""
    whole = codes if codes.dtype.kind in "iu" else codes.astype(np.int64)
    found = []
    for sign in (1, -1):
        part = whole if sign > 0 and not (whole < 0).any() else np.maximum(sign * whole, 0)
        found += [(bit, sign * 2.0**bit, part) for bit in range(int(part.max(initial=0)).bit_length())]
        if part is whole:
            break
    return found


def _best_steps(reader: Reader, words: Words, high: int) -> FloatArray:
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=-1, bitorder="little")
    rows = reader.programmed.blocks.features.shape[1]
    candidates = 2.0 ** np.arange(0, 1 + int(np.log2(reader.steps.max())))
    error = np.zeros((len(candidates), len(reader.steps)))
    # `Reader.scale` divides by the present step; undone, currents are in weight steps.
    matrices = reader.programmed.transfer_s * reader.scale * reader.steps[reader.kinds]
    for block, matrix in enumerate(matrices):
        sums = (bits[:, block, :rows].astype(np.float64) @ on_grid(matrix, 1)).astype(np.float32)
        for index, step in enumerate(candidates):
            code = np.clip(np.floor(sums / np.float32(step) + np.float32(0.5)), 0, high)
            squares = ((code * np.float32(step) - sums) ** 2).sum(axis=0, dtype=np.float64)
            error[index] += np.bincount(reader.kinds, squares, minlength=len(reader.steps))
    return np.asarray(candidates[error.argmin(axis=0)])


def _channels_last(layer: Layer) -> tuple[int, ...]:
    """Feature axes of the output in the order of `values`."""
    shape = layer.op.out_shape
    return (*shape[1:], shape[0]) if layer.op.channel_axis == 0 else shape
