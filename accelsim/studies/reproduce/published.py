"""``data/printed.yaml``: what is printed in papers, where, and the words of the rows that do it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import Field

from accelsim.core.files import read_yaml
from accelsim.core.settings import Section, validate
from accelsim.studies.reproduce.experiment import Bench, Experiment, Outcome, Row, printed
from accelsim.studies.reproduce.sata_sim import DATA


class Words(Section):
    """What is said in a row; names in braces are filled in."""

    item: str
    column: str
    unit: str = "x"
    source: str = "{source}; {code}"
    """Where the printed figure stands and what the reproduced one is computed from."""
    printed: str | dict[str, str] | None = None
    """The figure as it stands in print, or those of the items that have one."""
    note: str = ""


class About(Section):
    """One published table or figure."""

    title: str
    source: str
    code: str = ""
    """What the reproduced figures are computed by."""
    rows: dict[str, Words]
    notes: list[str] = Field(default_factory=list)


class Claim(Section):
    """A published figure for an SNN against an ANN."""

    label: str
    timesteps: int
    density: float
    printed: str
    """ANN over SNN energy."""
    source: str
    note: str


class Work(Section):
    """One line of Table II: what is printed, and what the figures were computed from."""

    name: str
    network: str
    timesteps: int
    sparsity_printed: str
    accuracy: str
    estimated: str
    estimated_gain: str
    sata: str
    sata_gain: str
    spikesim: str
    spikesim_gain: str
    sparsity: float
    """Share of zeros that the estimated column really used."""
    density: float | None = None
    """Spike density on accelsim's machines; None: what the bundled workload says."""
    baseline_timesteps: int | None = None
    """T of the work's own baseline."""
    sata_sparsity: float | None = None
    """Where the SATA column took another one than the estimate."""


class Print(Section):
    """The whole file."""

    sources: dict[str, str]
    experiments: dict[str, About]
    claims: list[Claim]
    works: list[Work]


@cache
def everything() -> Print:
    """What the file holds."""
    return validate(Print, read_yaml(DATA / "printed.yaml"))


@dataclass(frozen=True)
class Published:
    """A published table or figure by its name in the file."""

    name: str

    @property
    def about(self) -> About:
        """What the file says of it."""
        return everything().experiments[self.name]

    def source(self) -> str:
        """Where it stands."""
        return self.about.source.format(**everything().sources)

    def printed(self, name: str, item: str = "") -> str:
        """The figure in print of a row, or of one of its items."""
        listed = self.about.rows[name].printed
        return (listed.get(item) if isinstance(listed, dict) else listed) or ""

    def row(
        self,
        name: str,
        /,
        *,
        reproduced: float | None = None,
        physical: float | None = None,
        printed_as: str | None = None,
        tolerance: float | None = None,
        **filled: Any,
    ) -> Row:
        """A row in its words; the tolerance is half a unit of the last printed digit unless one is given."""
        line, filled = self.about.rows[name], {**everything().sources, "source": self.source(), **filled}
        filled["code"] = self.about.code.format(**filled)
        texts = (line.item, line.column, line.unit, line.source, line.note)
        item, column, unit, source, note = (words.format(**filled) for words in texts)
        text = printed_as or self.printed(name, item)
        read = printed(text) if text else None
        value, own = (None, None) if read is None else (read.value, read.tolerance)
        return Row(
            item, column, unit, source, value, reproduced, physical, own if tolerance is None else tolerance, note
        )

    def notes(self, **filled: Any) -> list[str]:
        """What a reader should know of the whole."""
        return [note.format(**filled) for note in self.about.notes]

    def experiment(self, run: Callable[[Bench], Outcome], *, cheap: bool = True) -> Experiment:
        """How to do it again."""
        return Experiment(self.name, self.about.title, self.source(), run, cheap)
