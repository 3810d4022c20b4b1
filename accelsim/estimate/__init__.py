"""Energies on paper: the formula of SNN papers, and every other convention in use, by name.

`estimate` is the papers' formula with its variants; `quote` gives the figure of any named convention
(`conventions` lists them) for a workload or a bundle; `Explanation` puts them beside machines' figures.
"""

from accelsim.estimate.conventions import Quote, convention, conventions, quote
from accelsim.estimate.explanation import Explanation
from accelsim.estimate.papers import (
    DEFAULT_OPS,
    Accumulations,
    Counts,
    FirstLayer,
    OpEnergy,
    check_convention,
    count,
    estimate,
    op_energies,
    op_energy,
)
from accelsim.estimate.tally import Convention, NotApplicable

__all__ = [
    "DEFAULT_OPS",
    "Accumulations",
    "Convention",
    "Counts",
    "Explanation",
    "FirstLayer",
    "NotApplicable",
    "OpEnergy",
    "Quote",
    "check_convention",
    "convention",
    "conventions",
    "count",
    "estimate",
    "op_energies",
    "op_energy",
    "quote",
]
