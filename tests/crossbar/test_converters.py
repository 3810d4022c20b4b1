"""DAC and ADC."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.crossbar.converters import Adc, Dac


@given(st.lists(st.integers(0, 31), min_size=1, max_size=20))
def test_bit_planes_add_up(values):
    planes = Dac(5).bit_planes(values)
    assert np.array_equal(sum(2**t * plane for t, plane in enumerate(planes)), values)


def test_levels_are_evenly_spaced_voltages():
    dac = Dac(2, "levels")
    assert dac.voltages_v([0, 1, 2, 3], 0.3) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert (dac.reads, Dac(2).reads) == (1, 2)


def test_codes_round_to_the_nearest_step_and_clip():
    adc = Adc(3, 1e-6, offset_a=0.5e-6)
    codes, clipped = adc.convert(np.array([-5, 0.5, 0.99, 1.01, 7.4, 7.9, 100]) * 1e-6)
    assert codes.tolist() == [0, 0, 0, 1, 7, 7, 7]
    assert clipped == 2
    signed = Adc(3, 1.0, signed=True)
    assert signed.convert([-9, -4.4, -0.6, 3.4, 3.6])[0].tolist() == [-4, -4, -1, 3, 3]
    assert signed.convert([-9, -4.4, -0.6, 3.4, 3.6])[1] == 2


@given(st.integers(2, 12), st.booleans())
def test_full_scale_is_the_largest_code(bits, signed):
    adc = Adc.with_full_scale(bits, 3e-5, signed=signed)
    assert adc.full_scale_a == pytest.approx(3e-5)
    assert adc.convert(3e-5)[0] == adc.high
    assert adc.high - adc.low == 2**bits - 1


def test_calibration_bounds_the_share_of_clipped_codes():
    currents = np.random.default_rng(0).exponential(1e-5, 20000)
    tight = Adc.calibrated(6, currents)
    assert tight.convert(currents)[1] == 0
    assert tight.full_scale_a == pytest.approx(currents.max())
    loose = Adc.calibrated(6, currents, clipped_share=0.01)
    assert loose.step_a < 0.6 * tight.step_a
    assert 0 < loose.convert(currents)[1] <= 0.011 * currents.size


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_calibration_in_units_gives_a_power_of_two_that_just_suffices(bits):
    currents = np.arange(200) * 2e-6
    adc = Adc.calibrated(bits, currents, unit_a=2e-6)
    factor = adc.step_a / 2e-6
    assert factor == 2 ** round(np.log2(factor))
    assert adc.high * factor >= 199
    assert factor == 1 or adc.high * factor / 2 < 199


def test_sharing_trades_converters_for_turns():
    adc = Adc(4, 1.0, columns=8)
    assert (adc.converters(64), adc.turns(64)) == (8, 8)
    assert (adc.converters(65), adc.turns(3)) == (9, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Adc(0, 1.0),
        lambda: Adc(4, 0.0),
        lambda: Adc(4, 1.0, offset_a=np.nan),
        lambda: Adc.calibrated(4, []),
        lambda: Adc.calibrated(4, [1.0], clipped_share=1.0),
        lambda: Adc.calibrated(1, [1.0], signed=True),
        lambda: Dac(17),
        lambda: Dac(2, "pulses"),
        lambda: Dac(2).bit_planes([4]),
        lambda: Dac(2).voltages_v([1], 0.1),
    ],
)
def test_bad_converters_are_refused(call):
    with pytest.raises(InputError, match=r"crossbar\.(adc|dac)"):
        call()


def test_what_no_converter_can_do_is_refused():
    with pytest.raises(InputError, match="two bits or more"):
        Adc.with_full_scale(1, 1e-6, signed=True)
    with pytest.raises(TypeError, match="offset"):
        Adc.with_full_scale(4, 1e-6, offset=0.0)
    with pytest.raises(InputError, match="not finite"):
        Adc.calibrated(4, [1e-6, np.nan])
    with pytest.raises(InputError, match="not a number"):
        Adc(4, 1e-6).convert([1e-6, np.nan])
    assert Adc(4, 1e-6).convert([-np.inf, np.inf]) == (pytest.approx([0, 15]), 2)
