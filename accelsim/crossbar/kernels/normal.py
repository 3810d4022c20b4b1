# Numba infers the types of compiled functions; only their numpy siblings are annotated.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Normal numbers as a function of (seed, read, block, column): the same on any number of threads.

Bits come from Philox2x32 with seven rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
as 1, 2, 3", SC 2011, where seven are the fewest that pass BigCrush), normals from the Box-Muller
transform. Logarithm, sine and cosine are polynomials in single precision, so that the whole loop runs on
vector units: a normal differs by less than 2e-6 from the one `normals_numpy` computes in double precision
from the same bits (the test measures it), and none exceeds sqrt(2 ln 2^23) = 5.65.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

_MULTIPLIER = np.uint64(0xD256D193)
_WEYL = np.uint64(0x9E3779B9)
_LOW = np.uint64(0xFFFFFFFF)
_THIRTY_TWO = np.uint64(32)
_NINE = np.uint64(9)
ROUNDS = 7
# Bits of sqrt(1/2) and the length of a mantissa: splits x into 2^e m with m in [sqrt(1/2), sqrt(2)).
_ROOT_HALF = np.uint32(0x3F3504F3)
_MANTISSA = np.uint32(23)

_F = np.float32
_LN2, _SCALE, _HALF, _ONE = _F(np.log(2.0)), _F(2.0**-23), _F(0.5), _F(1.0)
_TWENTY_THREE, _MINUS_TWO = _F(23.0), _F(-2.0)
# Chebyshev fits: log(1 + t) / t on [sqrt(1/2) - 1, sqrt(2) - 1]; sin(2 pi y) / y and cos(2 pi y) in y^2 for
# |y| <= 1/2. Their own errors are 1e-8, 2e-9 and 1e-8.
_L0, _L1, _L2, _L3, _L4 = _F(1.0), _F(-0.4999998808), _F(0.3333418369), _F(-0.2500215471), _F(0.1995697767)
_L5, _L6, _L7, _L8 = _F(-0.1656069607), _F(0.1494909525), _F(-0.1437733024), _F(0.0874394551)
_S0, _S1, _S2, _S3 = _F(6.2831854820), _F(-41.3417015076), _F(81.6051330566), _F(-76.7030181885)
_S4, _S5, _S6 = _F(42.0259284973), _F(-14.8998470306), _F(3.2381374836)
_C0, _C1, _C2, _C3 = _F(1.0), _F(-19.7392044067), _F(64.9391174316), _F(-85.4501419067)
_C4, _C5, _C6 = _F(60.1676292419), _F(-25.9675998688), _F(6.5286583900)


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def fill_normals(seed, block, first, z, radius, mantissa, angle):
    """Fill z [2 H] with normals first..first+H-1 of two streams; scratch of length H, float32.

    z[k] and z[H + k] come from one Box-Muller pair, whose counter is first + k (64 bits) under the key
    seed + block (mixed); a read of M columns owns ceil(M / 2) consecutive counters.
    """
    half = radius.size
    radius_bits, mantissa_bits = radius.view(np.uint32), mantissa.view(np.uint32)
    key0 = (np.uint64(seed) ^ (np.uint64(block) * _MULTIPLIER)) & _LOW
    for k in range(half):
        counter = np.uint64(first) + np.uint64(k)
        x0, x1, key = counter & _LOW, counter >> _THIRTY_TWO, key0
        for _ in range(ROUNDS):
            product = x0 * _MULTIPLIER
            x0 = (product >> _THIRTY_TWO) ^ key ^ x1
            x1 = product & _LOW
            key = (key + _WEYL) & _LOW
        radius[k] = _F(np.int32(x0 >> _NINE)) + _ONE
        angle[k] = _F(np.int32(x1 >> _NINE)) * _SCALE - _HALF
    for k in range(half):
        bits = radius_bits[k]
        exponent = (bits - _ROOT_HALF) >> _MANTISSA
        mantissa_bits[k] = bits - (exponent << _MANTISSA)
        radius[k] = _F(np.int32(exponent))
    cosines, sines = z[:half], z[half:]
    for k in range(half):
        t = mantissa[k] - _ONE
        series = _L8
        series = series * t + _L7
        series = series * t + _L6
        series = series * t + _L5
        series = series * t + _L4
        series = series * t + _L3
        series = series * t + _L2
        series = series * t + _L1
        series = series * t + _L0
        log = (radius[k] - _TWENTY_THREE) * _LN2 + series * t
        # Rounding may leave the logarithm of 1 a hair above zero.
        r = np.sqrt(np.abs(log * _MINUS_TWO))
        y = angle[k]
        q = y * y
        sine = (((((_S6 * q + _S5) * q + _S4) * q + _S3) * q + _S2) * q + _S1) * q + _S0
        cosine = (((((_C6 * q + _C5) * q + _C4) * q + _C3) * q + _C2) * q + _C1) * q + _C0
        cosines[k] = r * cosine
        sines[k] = r * sine * y


def philox2x32(
    low: npt.ArrayLike, high: npt.ArrayLike, key: int, rounds: int = 10
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Philox2x32 on counters (low, high), 32 bits each: two arrays of 32-bit words, held in uint64."""
    x0, x1 = np.asarray(low, dtype=np.uint64), np.asarray(high, dtype=np.uint64)
    for step in range(rounds):
        product = x0 * _MULTIPLIER
        round_key = np.uint64((key + step * int(_WEYL)) & 0xFFFFFFFF)
        x0, x1 = (product >> _THIRTY_TWO) ^ round_key ^ x1, product & _LOW
    return x0, x1


def normals_numpy(seed: int, block: int, first: int, half: int) -> npt.NDArray[np.float64]:
    """Sibling of `fill_normals` in double precision: 2 `half` normals."""
    key = (seed ^ (block * int(_MULTIPLIER))) & 0xFFFFFFFF
    counter = np.arange(first, first + half, dtype=np.uint64)
    x0, x1 = philox2x32(counter & _LOW, counter >> _THIRTY_TWO, key, ROUNDS)
    u = ((x0 >> _NINE).astype(np.float64) + 1.0) * 2.0**-23
    y = (x1 >> _NINE).astype(np.float64) * 2.0**-23 - 0.5
    r = np.sqrt(-2.0 * np.log(u))
    return np.concatenate([r * np.cos(2 * np.pi * y), r * np.sin(2 * np.pi * y)])
