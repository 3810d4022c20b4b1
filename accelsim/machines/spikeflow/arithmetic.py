"""How the crossbar machine computes: its arrays, wires, cells and converters as the executor needs them."""

from __future__ import annotations

from collections.abc import Collection

from accelsim.crossbar.solution import Wires
from accelsim.inference.arithmetic import Arithmetic, Crossbars, check_choices
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.workload.schema import Precision


def arithmetic(file: SpikeflowFile, precision: Precision, noise: str, remedies: Collection[str]) -> Arithmetic:
    """Products of a network of the given word widths on the crossbars of a machine.

    Raises:
        InputError: a noise model or remedies that do not exist.
    """
    chosen, array = check_choices(noise, remedies), file.crossbar
    crossbars = Crossbars(
        rows=array.rows,
        cols=array.cols,
        cell_bits=array.cell_bits,
        device=file.device.device(),
        wires=Wires(array.wordline_ohm, array.bitline_ohm, array.driver_ohm, array.sense_ohm),
        scheme=file.weights.signed,
        sign=file.weights.sign_sum,
        baseline=file.weights.baseline,
        adc_bits=file.adc.bits,
        noise=noise,
        first_layer=file.first_layer,
        reuse_static=file.static_input == "reuse",
        remedies=chosen,
    )
    return Arithmetic("crossbar", precision, crossbars)
