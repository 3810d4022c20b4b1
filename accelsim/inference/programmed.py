"""One layer's weights in crossbars: programmed, read and reassembled with the operands made ready once.

`accelsim.crossbar.layer.program_layer` does the physics (cells, wires, noise); here its matrices are brought into
converter steps, one step per kind of column, and packed for the compiled product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray, IntArray, Words
from accelsim.crossbar.kernels.mvm import multiply, pack_matrices
from accelsim.crossbar.layer import ProgrammedLayer, program_layer
from accelsim.crossbar.mapping import RowBlocks, conv_blocks
from accelsim.inference.arithmetic import Crossbars
from accelsim.inference.kept import kept
from accelsim.inference.kernels import reassemble
from accelsim.inference.weights import Layer


@dataclass(frozen=True)
class GroupSet:
    """Groups of a convolution that share arrays block-diagonally (all of it, where there are no groups)."""

    channels: slice
    """Input channels that enter."""
    outputs: slice
    weights: IntArray
    """[features (channel, tap), outputs] with zeros between different groups."""
    blocks: RowBlocks


def group_sets(layer: Layer, rows: int, cols: int) -> list[GroupSet]:
    """Cut a layer into what is mapped together, as `accelsim.machines.spikeflow` places it."""
    gemm = layer.op.products()
    taps = layer.op.field.taps
    channels = gemm.k // taps
    together = max(1, min(rows // channels, cols // gemm.n, gemm.groups))
    sets = []
    for first in range(0, gemm.groups, together):
        count = min(together, gemm.groups - first)
        weights = np.zeros((count, channels, taps, count, gemm.n), dtype=np.int64)
        for k in range(count):
            weights[k, :, :, k] = layer.codes[first + k].reshape(taps, channels, gemm.n).transpose(1, 0, 2)
        blocks = conv_blocks(count * channels, layer.op.field.kernel, rows)
        sets.append(
            GroupSet(
                slice(first * channels, (first + count) * channels),
                slice(first * gemm.n, (first + count) * gemm.n),
                weights.reshape(count * channels * taps, count * gemm.n),
                blocks,
            )
        )
    return sets


def program(group_set: GroupSet, settings: Crossbars, bits: int, seed: int, density: float) -> ProgrammedLayer:
    """Write the weights into cells; `seed` draws programming variation, `density` is a typical share of spikes.

    Layers are kept by all they depend on (`kept`), so that what only changes converters (an ablation, a calibration,
    a sweep of ADC bits) does not solve the wires again.
    """
    noisy = settings.reads_noisily and settings.noise == "statistical"
    physics = (settings.device, settings.wires, settings.rows, settings.cols, settings.cell_bits, settings.baseline)
    coding = (settings.scheme, settings.sign, "encoding" in settings.remedies, bits)
    drawn = (seed if settings.varies else None, density if noisy else None)
    depends = (group_set.weights, group_set.blocks.features, physics, coding, drawn)
    return kept(depends, lambda: _program(group_set, settings, bits, drawn))


def _program(
    group_set: GroupSet, settings: Crossbars, bits: int, drawn: tuple[int | None, float | None]
) -> ProgrammedLayer:
    seed, density = drawn
    return program_layer(
        group_set.weights,
        settings.device,
        rows=settings.rows,
        cols=settings.cols,
        bits=bits,
        cell_bits=settings.cell_bits,
        wires=settings.wires,
        scheme=settings.scheme,
        sign=settings.sign,
        baseline=settings.baseline,
        complement="column" if "encoding" in settings.remedies else "none",
        blocks=group_set.blocks,
        rng=None if seed is None else np.random.default_rng(seed),
        noise_density=density,
    )


def column_kinds(programmed: ProgrammedLayer, outputs: int) -> IntArray:
    """[P] which columns belong together: a bit slice of one sign, the sign columns, a reference column."""
    columns = np.arange(programmed.codes.shape[2])
    if programmed.encoding.scheme != "offset_column":
        return np.asarray(columns // outputs)
    numbers = programmed.codes.shape[2] // (outputs + 1) * outputs
    return np.where(columns < numbers, columns // outputs, numbers // outputs + columns - numbers)


def trims(programmed: ProgrammedLayer, settings: Crossbars) -> FloatArray:
    """[K, P] factor on each column's currents that gives it back, with all rows on, what wires and cells took.

    The ratio of the current its cells should give (their target conductances, no wires) to the one it gives
    (the programmed array's exact transfer matrix): one read with all rows on. Physically the reference of
    the shared converter is trimmed for each of its columns.
    """
    stored = settings.device.conductance_s(programmed.codes, settings.cell_bits)
    if settings.baseline == "column":  # subtracted from what is found as well
        stored = stored - settings.device.offset_s(settings.cell_bits)
    wanted, found = stored.sum(axis=1), programmed.transfer_s.sum(axis=1)
    return np.where(found > 0, wanted / np.where(found > 0, found, 1.0), 1.0)


def widest_step(programmed: ProgrammedLayer, kinds: IntArray, bits: int) -> FloatArray:
    """[kinds] converter step in weight steps that takes the largest sum which could ever occur."""
    fed = (programmed.blocks.features >= 0).sum(axis=1).max()
    mask = 2**programmed.encoding.cell_bits - 1
    ceiling = np.full(kinds.max() + 1, float(fed * mask))
    if programmed.encoding.scheme == "diff" and programmed.encoding.negative is None:
        # One-bit sign columns, unless they may be stored complemented.
        ceiling[-1] = fed * mask if programmed.flipped.any() else fed
    return np.asarray(2.0 ** np.maximum(0, np.ceil(np.log2(ceiling / (2**bits - 1)))))


class Reader:
    """A programmed set with everything a read needs, in converter steps."""

    def __init__(
        self, programmed: ProgrammedLayer, settings: Crossbars, outputs: int, steps: FloatArray | None = None
    ) -> None:
        """`steps` [kinds] in weight steps (default: 1, or the widest range of the converters)."""
        self.programmed, self._settings = programmed, settings
        self.kinds = column_kinds(programmed, outputs)
        bits = settings.adc_bits
        if steps is None:
            steps = np.ones(self.kinds.max() + 1) if bits is None else widest_step(programmed, self.kinds, bits)
        self.steps = steps
        step = steps[self.kinds]
        trim = trims(programmed, settings) if "gain" in settings.remedies else np.ones(programmed.flipped.shape)
        sign = np.where(programmed.flipped, -1.0, 1.0)
        scale = trim * programmed.read_voltage_v / (programmed.unit_a * step)
        turned = scale if bits is not None else scale * sign
        self.scale = turned[:, None, :]
        matrices = programmed.transfer_s * self.scale
        noise = programmed.variance_s2
        self._packed = pack_matrices(matrices, None if noise is None else noise * self.scale**2)
        self.gain = sign.astype(np.int32)
        combine = programmed.encoding.combine
        terms = int((combine[:, 0] != 0).sum())
        self._index = np.argsort(combine.T == 0, axis=1, kind="stable")[:, :terms].astype(np.int64)
        plain = np.take_along_axis(combine.T, self._index, axis=1).astype(np.float64)
        self._factor = plain * step[self._index]
        mask = 2**programmed.encoding.cell_bits - 1
        flips = (programmed.flipped * mask).astype(np.float64) @ combine
        self._per_active = flips if programmed.flipped.any() else None
        self.limits = (0, 0) if bits is None else (0, 2**bits - 1)
        self.conversions = 0
        self.clipped = 0

    def columns(self, words: Words, seed: int, first_read: int) -> tuple[npt.NDArray[Any], IntArray]:
        """Column sums [B, P] (codes, or analog sums) and active rows [B, K] of words [B, K, W]."""
        converters = None if self._settings.adc_bits is None else (0.0, *self.limits)
        columns, active, clipped = multiply(words, self._packed, self.gain, converters, seed, first_read)
        self.count(0 if converters is None else active.size * columns.shape[1], clipped)
        return columns, active

    def count(self, conversions: int, clipped: int) -> None:
        """Add to the tally of conversions."""
        self.conversions += conversions
        self.clipped += clipped

    def outputs(self, columns: npt.NDArray[Any], active: IntArray, scale: float, into: FloatArray) -> None:
        """into [B, M] += scale x the products that these column sums mean, in weight steps."""
        reassemble(columns, self._index, self._factor, scale, into)
        if self._per_active is not None:
            into += scale * (active @ self._per_active)
