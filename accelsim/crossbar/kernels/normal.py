# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,unreachable,var-annotated"
"""Normal numbers as a function of (seed, block, read, column): the same on any number of threads, in any batch.

Two steps. Philox2x32 with ten rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) turns (seed; block, read) into a key of 64 bits, once per read of a block. From it every pair of columns
gets two words: a Weyl sequence that starts at one half of the key, through a multiply-xorshift mixer of two rounds
into which the other half enters (the construction of SplitMix: Steele, Lea, Flood, OOPSLA 2014; multipliers by
C. Wellons' search for integer hashes). A pair of words becomes two normals by the Box-Muller transform.
Logarithm, sine and cosine are polynomials in single precision, so that the whole loop runs on vector units: a normal
differs by less than 2e-6 from the one that double precision gives from the same bits (a test measures it), and none
exceeds sqrt(2 ln 2^23) = 5.65.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.core.compiled import njit
from accelsim.crossbar.kernels.bits import bits_of, float_of

ROUNDS = 10
# Columns are paired within groups of this many: the first half with the second.
GROUP = 32
PAIRS = GROUP // 2

_MULTIPLIER = np.uint64(0xD256D193)
_WEYL = np.uint64(0x9E3779B9)
_LOW = np.uint64(0xFFFFFFFF)
_SIXTEEN, _THIRTY_TWO, _FORTY_EIGHT = np.uint64(16), np.uint64(32), np.uint64(48)

_U = np.uint32
# Per word: step of the Weyl sequence, the two multipliers.
_STEP_A, _MUL_A0, _MUL_A1 = _U(0x9E3779B9), _U(0x21F0AAAD), _U(0x735A2D97)
_STEP_B, _MUL_B0, _MUL_B1 = _U(0x85EBCA6B), _U(0x7FEB352D), _U(0x846CA68B)
_S9, _S15, _S16, _S23, _S30, _S31 = (_U(bits) for bits in (9, 15, 16, 23, 30, 31))
_TWO_BIT = _U(2)
_ONE_BITS = _U(0x3F800000)
# Bits of sqrt(1/2): splits x into 2^e m with m in [sqrt(1/2), sqrt(2)).
_ROOT_HALF = _U(0x3F3504F3)

_F = np.float32
_ONE, _TWO, _MIDDLE, _MINUS_TWO_LN2, _MINUS_TWO = _F(1.0), _F(2.0), _F(1.5), _F(-2.0 * np.log(2.0)), _F(-2.0)
# Chebyshev fits: log(1 + t) / t on [sqrt(1/2) - 1, sqrt(2) - 1]; with f = 2 phi / pi, |f| <= 1/2, sin(phi) / f and
# cos(phi), both over sqrt(2), in f^2. Their own errors are 3e-7, 3e-8 and 3e-8.
_L0, _L1, _L2, _L3 = _F(0.99999994), _F(-0.50000376), _F(0.33334607), _F(-0.24968907)
_L4, _L5, _L6, _L7 = _F(0.19913349), _F(-0.17278206), _F(0.16126248), _F(-0.09895351)
_SIN0, _SIN1, _SIN2, _SIN3 = _F(1.1107208), _F(-0.45676515), _F(0.056342423), _F(-0.0032542108)
_COS0, _COS1, _COS2, _COS3 = _F(0.70710677), _F(-0.8723555), _F(0.17932127), _F(-0.014430747)

_FLAGS = {"contract", "nsz"}


@njit(error_model="numpy")
def fill_keys(seed, block, first_read, keys):
    """Keys [R, 2] (uint32) of reads first_read.. of a block (below 2^16; reads below 2^48)."""
    for r in range(keys.shape[0]):
        counter = np.uint64(first_read) + np.uint64(r) | np.uint64(block) << _FORTY_EIGHT
        x0, x1, key = counter & _LOW, counter >> _THIRTY_TWO, np.uint64(seed) & _LOW
        for _ in range(ROUNDS):
            product = x0 * _MULTIPLIER
            x0 = (product >> _THIRTY_TWO) ^ key ^ x1
            x1 = product & _LOW
            key = (key + _WEYL) & _LOW
        keys[r, 0], keys[r, 1] = np.uint32(x0), np.uint32(x1)


@njit(error_model="numpy", fastmath=_FLAGS)
def _mix_words(keys, reads, group, radii, angles):
    """The two words of each pair of columns 32 `group`.. in radii, angles [16 R], for the first R = `reads` keys."""
    for r in range(reads):
        key0, key1 = keys[r, 0], keys[r, 1]
        start_a = np.uint32(key0 + np.uint32(group * PAIRS) * _STEP_A)
        start_b = np.uint32(key1 + np.uint32(group * PAIRS) * _STEP_B)
        at = np.uint64(r * PAIRS)
        for j in range(PAIRS):
            # Products and sums of uint32 are uint64 in numba; what is kept are their low halves.
            a = np.uint32(start_a + np.uint32(np.uint32(j) * _STEP_A))
            a = np.uint32((a ^ (a >> _S16)) * _MUL_A0)
            a = np.uint32(np.uint32((a ^ (a >> _S15)) ^ key1) * _MUL_A1)
            radii[at + np.uint64(j)] = np.uint32(a ^ (a >> _S15))
            b = np.uint32(start_b + np.uint32(np.uint32(j) * _STEP_B))
            b = np.uint32((b ^ (b >> _S16)) * _MUL_B0)
            b = np.uint32(np.uint32((b ^ (b >> _S15)) ^ key0) * _MUL_B1)
            angles[at + np.uint64(j)] = np.uint32(b ^ (b >> _S16))


@njit(error_model="numpy", fastmath=_FLAGS)
def _square_radii(words, count, squares):
    """squares = -2 ln u of the first `count` words, u in (0, 1] from their upper 23 bits."""
    for j in range(count):
        bits = bits_of(_TWO - float_of(np.uint32((words[j] >> _S9) | _ONE_BITS)))
        exponent = np.int32(np.int32(np.uint32(bits - _ROOT_HALF)) >> np.int32(23))
        t = float_of(np.uint32(bits - (np.uint32(exponent) << _S23))) - _ONE
        series = _L7
        series = series * t + _L6
        series = series * t + _L5
        series = series * t + _L4
        series = series * t + _L3
        series = series * t + _L2
        series = series * t + _L1
        series = series * t + _L0
        # Rounding may leave the logarithm of 1 a hair above zero.
        squares[j] = np.abs(_F(exponent) * _MINUS_TWO_LN2 + series * t * _MINUS_TWO)


@njit(error_model="numpy", fastmath=_FLAGS)
def add_normals(total, keys, reads, group, radii, angles, squares):
    """total [R, 64]: the first 32 sums of a read += sqrt(the last 32) z, z the normals of columns 32 `group`...

    keys [R, 2] are those of `fill_keys`; radii, angles (uint32) and squares (float32) [16 R] are scratch. Only the
    first `reads` are worked on. Loops are kept apart because each is a long chain of dependent steps: short ones
    overlap better.
    """
    _mix_words(keys, reads, group, radii, angles)
    _square_radii(radii, reads * PAIRS, squares)
    for r in range(reads):
        at = np.uint64(r * PAIRS)
        for j in range(PAIRS):
            word, square = angles[at + np.uint64(j)], squares[at + np.uint64(j)]
            # An angle in the first quadrant is 45 degrees + phi; two more bits are the signs.
            f = float_of(np.uint32((word >> _S9) | _ONE_BITS)) - _MIDDLE
            q = f * f
            sine = (((_SIN3 * q + _SIN2) * q + _SIN1) * q + _SIN0) * f
            cosine = ((_COS3 * q + _COS2) * q + _COS1) * q + _COS0
            x = float_of(np.uint32(bits_of(cosine - sine) ^ np.uint32(word << _S31)))
            y = float_of(np.uint32(bits_of(cosine + sine) ^ np.uint32((word & _TWO_BIT) << _S30)))
            total[r, j] += np.sqrt(total[r, GROUP + j] * square) * x
            total[r, PAIRS + j] += np.sqrt(total[r, GROUP + PAIRS + j] * square) * y


def philox2x32(
    low: npt.ArrayLike, high: npt.ArrayLike, key: int, rounds: int = ROUNDS
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Philox2x32 on counters (low, high), 32 bits each: two arrays of 32-bit words, held in uint64."""
    x0, x1 = np.asarray(low, dtype=np.uint64), np.asarray(high, dtype=np.uint64)
    for step in range(rounds):
        product = x0 * _MULTIPLIER
        round_key = np.uint64((key + step * int(_WEYL)) & 0xFFFFFFFF)
        x0, x1 = (product >> _THIRTY_TWO) ^ round_key ^ x1, product & _LOW
    return x0, x1
