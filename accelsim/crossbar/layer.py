"""A layer programmed into crossbars: from integer weights to currents to integer outputs.

`program_layer` cuts the weights into arrays, encodes them into cells, programs the cells (variation,
stuck cells), solves the wires once, and keeps one matrix per row block. A read is then

    spikes -> column currents (wires included) -> + read noise -> ADC codes -> shift-add, sign, complement

in one compiled pass (`kernels.mvm`). Ideal wires, no noise and a wide enough converter give s @ w exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from accelsim.core.types import BoolArray, FloatArray, IntArray
from accelsim.crossbar import checks
from accelsim.crossbar.converters import Adc, Dac
from accelsim.crossbar.devices import Device
from accelsim.crossbar.kernels.mvm import multiply, pack_matrices, pack_spikes
from accelsim.crossbar.mapping import RowBlocks, linear_blocks
from accelsim.crossbar.noise import statistical_variance
from accelsim.crossbar.solution import Wires
from accelsim.crossbar.weights import COMPLEMENTS, Encoding, encode

BASELINES = ("none", "column")


@dataclass(frozen=True)
class Output:
    """What one call of `ProgrammedLayer.read` gives."""

    values: FloatArray
    """[B, M] in weight steps: s @ w for ideal crossbars."""
    conversions: int
    """ADC conversions made."""
    clipped: int
    """Of these, how many hit the end of the range."""
    active_rows: IntArray
    """[B, K] rows driven in each row block (summed over bit-planes)."""


@dataclass(frozen=True)
class ProgrammedLayer:
    """K row blocks of arrays holding P physical columns, as `program_layer` made them."""

    blocks: RowBlocks
    encoding: Encoding
    """Of all rows together, without complements."""
    codes: IntArray
    """[K, rows, P] cell codes as stored."""
    flipped: BoolArray
    """[K, P] columns stored complemented."""
    conductance_s: FloatArray
    """[K, T, rows, columns] of each array; the last column is the reference where there is one."""
    transfer_s: FloatArray
    """[K, rows, P], reference column subtracted where there is one."""
    admittance_s: FloatArray
    """[K, rows, rows], summed over the arrays of a row block."""
    variance_s2: FloatArray | None
    """[K, rows, P] read-noise variance per active row and volt squared, or None."""
    unit_a: float
    """Column current of one weight step in one active cell with ideal wires."""
    read_voltage_v: float

    @property
    def low_resistance_share(self) -> float:
        """Share of the cells that hold a weight in the more conducting half of their range."""
        return float((self.codes[self.blocks.features >= 0] >= 2 ** (self.encoding.cell_bits - 1)).mean())

    def column_currents_a(self, inputs: npt.ArrayLike) -> FloatArray:
        """[B, K, P] noise-free column currents in ampere of inputs [B, features] (0 .. 1 of the read voltage)."""
        rows = self.blocks.cut_inputs(np.asarray(inputs, dtype=np.float64))
        return np.asarray(np.einsum("bkn,knp->bkp", rows * self.read_voltage_v, self.transfer_s))

    def power_w(self, inputs: npt.ArrayLike) -> FloatArray:
        """[B] power all arrays draw during one read, wires included; exact for the programmed cells."""
        rows = self.blocks.cut_inputs(np.asarray(inputs, dtype=np.float64)) * self.read_voltage_v
        return np.asarray(np.einsum("bkn,knm,bkm->b", rows, self.admittance_s, rows, optimize=True))

    def calibrate(self, inputs: npt.ArrayLike, bits: int, *, clipped_share: float = 0.0, columns: int = 1) -> Adc:
        """A converter whose step is a power of two of weight steps, ranged on these inputs."""
        currents = self.column_currents_a(inputs)
        return Adc.calibrated(
            bits,
            currents,
            clipped_share=clipped_share,
            unit_a=self.unit_a,
            signed=bool(currents.min() < -0.5 * self.unit_a),
            columns=columns,
        )

    def read(
        self,
        inputs: npt.ArrayLike,
        adc: Adc | None = None,
        *,
        dac: Dac | None = None,
        seed: int | None = None,
    ) -> Output:
        """Outputs [B, M] of inputs [B, features]: spikes, or whole numbers applied bit by bit by `dac`.

        Without an ADC the analog column sums are taken as they are. `seed` switches read noise on (the
        ``statistical`` model) and fixes it: read b of a call always draws the same noise, on any number of
        threads; bit-planes and calls with other seeds draw other noise. Raises `InputError` for noise on a layer
        programmed without it.
        """
        converter = dac or Dac(1)
        if converter.mode != "serial":
            raise checks.refuse("only 'serial' inputs are spikes; see column_currents_a", "dac.mode")
        if seed is not None:
            checks.whole(seed, 0, 2**32 - 1, "layer.seed")
        if seed is not None and self.variance_s2 is None:
            raise checks.refuse("the layer was programmed without read noise", "layer.seed")
        planes = converter.bit_planes(inputs)
        total: Output | None = None
        for t, plane in enumerate(planes):
            part = self._read_spikes(plane, adc, None if seed is None else (seed * len(planes) + t) % 2**32)
            if total is None:
                total = part
            else:
                total = Output(
                    total.values + 2**t * part.values,
                    total.conversions + part.conversions,
                    total.clipped + part.clipped,
                    total.active_rows + part.active_rows,
                )
        assert total is not None
        return total

    def _read_spikes(self, spikes: BoolArray, adc: Adc | None, seed: int | None) -> Output:
        cut = self.blocks.cut_inputs(spikes)
        n_reads, n_blocks, _ = cut.shape
        step_a = self.unit_a if adc is None else adc.step_a
        scale = self.read_voltage_v / step_a
        matrices = self.transfer_s * scale
        variances = None if seed is None or self.variance_s2 is None else self.variance_s2 * scale**2
        gain = np.where(self.flipped, -1, 1).astype(np.int32)
        if adc is None:
            # Without conversion a complemented column is turned round before the sum instead of after it.
            matrices = matrices * gain[:, None, :]
        limits = None if adc is None else (-adc.offset_a / adc.step_a, adc.low, adc.high)
        packed = pack_matrices(matrices, variances)
        sums, _, clipped = multiply(pack_spikes(cut), packed, gain, limits, seed or 0)
        active = cut.sum(axis=2).astype(np.int64)
        mask = 2**self.encoding.cell_bits - 1
        weighed = sums.astype(np.float64) * (step_a / self.unit_a) + active @ (self.flipped * mask)
        values = self.encoding.decode(weighed, active.sum(axis=1), cut.reshape(n_reads, -1))
        conversions = 0 if adc is None else n_reads * n_blocks * self.flipped.shape[1]
        return Output(values, conversions, clipped, active)


def program_layer(
    weights: npt.ArrayLike,
    device: Device,
    *,
    rows: int,
    cols: int,
    bits: int,
    cell_bits: int,
    wires: Wires | None = None,
    scheme: str = "diff",
    complement: str = "none",
    sign: str = "column",
    baseline: str = "none",
    blocks: RowBlocks | None = None,
    rng: np.random.Generator | None = None,
    noise_density: float | None = None,
    read_voltage_v: float | None = None,
) -> ProgrammedLayer:
    """Program integer weights [features, M] into arrays of `rows` x `cols` cells.

    `blocks` says which feature feeds which row (default: cut in order; `mapping.conv_blocks` for
    convolutions). `rng` draws programming variation and stuck cells (None: every cell holds its target).
    `noise_density`, a typical share of active rows, prepares read noise of the device's sigma (None: no
    read noise). ``baseline: column`` keeps one column of each array at code 0 and subtracts its current
    from the others before conversion, which removes what cells at code 0 conduct; ``none`` leaves it in.
    Unused cells hold code 0. Raises `InputError` for weights, bits or names out of range.
    """
    w = np.asarray(weights)
    if w.ndim != 2:
        raise checks.refuse(f"shape {w.shape}; need [features, outputs]", "weights")
    checks.choice(baseline, BASELINES, "layer.baseline")
    checks.choice(complement, COMPLEMENTS, "weights.complement")
    checks.whole(cols, 2 if baseline == "column" else 1, 2**20, "layer.cols")
    layout = blocks or linear_blocks(w.shape[0], rows)
    if layout.features.shape[1] != rows:
        raise checks.refuse(f"blocks of {layout.features.shape[1]} rows for arrays of {rows}", "layer.blocks")
    volts = device.read_voltage_v if read_voltage_v is None else read_voltage_v
    if volts is None or not volts > 0:
        raise checks.refuse(f"{volts}; give a positive read voltage in volt", "layer.read_voltage_v")
    wires = wires or Wires(0.0, 0.0)
    cut = layout.cut_weights(w)
    n_blocks = cut.shape[0]
    plain = encode(cut.reshape(-1, w.shape[1]), bits=bits, cell_bits=cell_bits, scheme=scheme, sign=sign)
    mask = 2**cell_bits - 1
    # Rows that no input feeds hold code 0 whatever the scheme would store for a weight of zero.
    fed = (layout.features >= 0)[:, :, None]
    codes = np.where(fed, plain.codes.reshape(n_blocks, rows, -1), 0)
    n_columns = codes.shape[2]
    flipped = _choose_flips(codes, mask, complement)
    stored = np.where(flipped[:, None] & fed, mask - codes, codes)
    usable = cols - (baseline == "column")
    tiles = -(-n_columns // usable)
    arrays = np.zeros((n_blocks, rows, tiles, cols), dtype=np.int64)
    for tile in range(tiles):
        part = stored[:, :, tile * usable : (tile + 1) * usable]
        arrays[:, :, tile, : part.shape[2]] = part
    target = device.conductance_s(arrays.transpose(0, 2, 1, 3), cell_bits)
    held = target if rng is None else device.program(target, rng)
    solution = wires.solve(held)
    variance = None
    if noise_density is not None:
        variance = statistical_variance(held, device.read_sigma_s(held), wires, density=noise_density)
    transfer = solution.transfer
    if baseline == "column":
        transfer = transfer - transfer[..., -1:]
        variance = None if variance is None else variance + variance[..., -1:]

    def flat(stack: FloatArray) -> FloatArray:
        joined = stack[..., :usable].transpose(0, 2, 1, 3).reshape(n_blocks, rows, -1)
        return np.ascontiguousarray(joined[:, :, :n_columns])

    return ProgrammedLayer(
        blocks=layout,
        encoding=replace(plain, flipped=np.zeros(n_columns, dtype=bool)),
        codes=stored,
        flipped=flipped,
        conductance_s=held,
        transfer_s=flat(transfer),
        admittance_s=solution.input_admittance.sum(axis=1),
        variance_s2=None if variance is None else flat(variance),
        unit_a=volts * device.lsb_s(cell_bits),
        read_voltage_v=volts,
    )


def _choose_flips(codes: IntArray, mask: int, complement: str) -> BoolArray:
    """[K, P]: complement where it lowers the sum of codes, per column or per array of columns."""
    total = codes.sum(axis=1)
    if complement == "column":
        return np.asarray(2 * total > mask * codes.shape[1])
    if complement == "array":
        much = 2 * total.sum(axis=1) > mask * codes.shape[1] * codes.shape[2]
        return np.broadcast_to(much[:, None], total.shape).copy()
    return np.zeros(total.shape, dtype=bool)
