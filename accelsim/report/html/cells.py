"""Cells and lines that several kinds of pages share."""

from __future__ import annotations

from accelsim.report import units
from accelsim.report.html import documents as doc
from accelsim.report.html.blocks import Cell


def number(value: float | None, digits: int = 4) -> Cell:
    """A figure, or a dash."""
    return Cell("-" if value is None else f"{value:.{digits}g}", value)


def energy(pj: float | None) -> Cell:
    """An energy in pJ."""
    return Cell("-" if pj is None else units.energy(pj), pj)


def share(part: float, whole: float) -> Cell:
    """Per cent of a whole."""
    return Cell(f"{100 * part / whole:.1f} %" if whole else "-", part / whole if whole else None)


def source(text: str) -> Cell:
    """Where something comes from."""
    return Cell(text, text, "faint")


def footer(version: str, workload: doc.Workload, hardware: doc.Hardware | None) -> str:
    """Version and inputs of a page."""
    parts = [f"accelsim {version}".strip(), f"workload {workload.name} {workload.hash}".strip()]
    if hardware is not None:
        parts.append(f"hardware {hardware.name} {hardware.hash}".strip())
    return ", ".join(parts)
