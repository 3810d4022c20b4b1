"""Read noise by redrawing cells: ``exact`` (the circuit is solved for every read) and ``first_order``.

Far slower than the ``statistical`` model of the compiled product, which these exist to check: a noisy
read of one 64 x 64 array takes about half a millisecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import IntArray, Words
from accelsim.crossbar.noise import NoisyArray
from accelsim.inference.arithmetic import Crossbars

if TYPE_CHECKING:
    from accelsim.inference.programmed import Reader


_DRAWN_CELLS = 500_000


class NoisyReads:
    """Column sums of a programmed set, every read with cells of its own."""

    def __init__(self, reader: Reader, settings: Crossbars) -> None:
        self._reader, self._settings = reader, settings
        held, wires = reader.programmed.conductance_s, settings.wires
        solution = wires.solve(held)
        self._arrays: list[list[NoisyArray]] = []
        for block in range(held.shape[0]):
            row = []
            for tile in range(held.shape[1]):
                part = type(solution)(solution.transfer[block, tile], solution.input_admittance[block, tile], wires)
                sigma = settings.device.read_sigma_s(held[block, tile])
                row.append(NoisyArray(held[block, tile], sigma, part))
            self._arrays.append(row)

    def columns(self, words: Words, seed: int, first_read: int) -> tuple[npt.NDArray[Any], IntArray]:
        """As `Reader.columns`; read r draws from a generator of its own, whatever the batch it is in."""
        reader, settings = self._reader, self._settings
        programmed = reader.programmed
        rows = programmed.blocks.features.shape[1]
        spikes = np.unpackbits(words.astype("<u8").view(np.uint8), axis=-1, bitorder="little")[..., :rows]
        active = spikes.sum(axis=2, dtype=np.int64)
        width = reader.gain.shape[1]
        total = np.zeros((len(words), width), dtype=np.float64 if settings.adc_bits is None else np.int32)
        clipped = 0
        for block, arrays in enumerate(self._arrays):
            for batch in _batches(np.flatnonzero(active[:, block]), arrays[0].conductance_s.size):
                volts = spikes[batch, block] * programmed.read_voltage_v
                draws = [np.random.default_rng([seed, first_read + int(read), block]) for read in batch]
                parts = []
                for array in arrays:
                    normal = np.stack([rng.standard_normal(array.conductance_s.shape) for rng in draws])
                    shift = np.maximum(array.sigma_s * normal, -array.conductance_s)
                    read = array.read_shifted_a(volts, shift, settings.noise)
                    parts.append(read[:, :-1] - read[:, -1:] if settings.baseline == "column" else read)
                currents = np.concatenate(parts, axis=1)[:, :width] / programmed.read_voltage_v
                scaled = currents * reader.scale[block, 0]
                if settings.adc_bits is None:
                    total[batch] += scaled
                    continue
                code = np.floor(scaled + 0.5)
                low, high = reader.limits
                clipped += int(((code < low) | (code > high)).sum())
                total[batch] += reader.gain[block] * np.clip(code, low, high).astype(np.int32)
        reader.count(0 if settings.adc_bits is None else words.shape[0] * words.shape[1] * width, clipped)
        return total, active


def _batches(reads: IntArray, cells: int) -> list[IntArray]:
    """Reads in runs whose redrawn cells take a few megabytes."""
    size = max(1, _DRAWN_CELLS // cells)
    return [reads[start : start + size] for start in range(0, len(reads), size)]
