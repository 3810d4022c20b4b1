"""Figures as people read them: 12.3 uJ, 4.5 ms, 0.9 mm2."""

from __future__ import annotations

_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def si(value: float, unit: str, digits: int = 4) -> str:
    """A value in base units with the prefix that leaves one to three digits before the point."""
    if value == 0:
        return f"0 {unit}".rstrip()
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale:
            return f"{value / scale:.{digits}g} {prefix.strip()}{unit}".rstrip()
    return f"{value:.{digits}g} {unit}".rstrip()


def energy(pj: float) -> str:
    """Energy given in pJ."""
    return si(pj * 1e-12, "J")


def time(ns: float) -> str:
    """Time given in ns."""
    return si(ns * 1e-9, "s")


def area(um2: float) -> str:
    """Area given in um2, in mm2."""
    return f"{um2 * 1e-6:.4g} mm2"


def count(value: float) -> str:
    """A number of things: 1.25 M."""
    return si(value, "")


def ratio(value: float | None) -> str:
    """How many times."""
    return "-" if value is None else f"{value:.3g}x"


def whole(value: float) -> str:
    """A number in full: 1,234."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of 1 in per cent."""
    return f"{100 * share:.1f} %"


def hundredths(share: float | None) -> str:
    """A share of 1 in per cent, to a hundredth."""
    return "-" if share is None else f"{100 * share:.2f} %"


def joule_seconds(pj_ns: float) -> str:
    """Energy x delay given in pJ ns."""
    return f"{pj_ns * 1e-21:.3g} J s"


def part(value: float, of: float) -> float | None:
    """A share of 1 where there is a whole."""
    return value / of if of else None
