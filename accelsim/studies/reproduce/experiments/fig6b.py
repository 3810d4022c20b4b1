"""Fig. 6(b): accuracy on non-ideal crossbars with weight encoding and batch-norm adaptation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.core.errors import InputError
from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce.experiment import Bench, Outcome, Row
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = Published("fig6b")
BUNDLES = ("digits_snn", "digits_resnet")


@dataclass(frozen=True)
class Chip:
    """A crossbar machine, as overrides of the bundled one."""

    name: str
    settings: Mapping[str, Any]


def _chip(size: int, wires: float) -> Chip:
    return Chip(
        f"{size}x{size}, wires x {wires:g}",
        {
            "crossbar.rows": size,
            "crossbar.cols": size,
            "crossbar.wordline_ohm": 0.6 * wires,
            "crossbar.bitline_ohm": 1.8 * wires,
            "adc.bits": 6,
        },
    )


CHIPS = (_chip(32, 1.0), _chip(64, 0.25), _chip(64, 1.0))
"""6-bit converters; wires in multiples of 0.6 and 1.8 ohm per cell."""


REMEDIES = {
    "non-ideal": (),
    "weight encoding": ("encoding",),
    "BN adaptation": ("bn_adaptation",),
    "encoding and BN adaptation": ("encoding", "bn_adaptation"),
    "channel adaptation": ("channel_adaptation",),
    "encoding and channel adaptation": ("encoding", "channel_adaptation"),
}
"""What is tried, by label; converter ranges are always chosen on calibration images."""


@dataclass(frozen=True)
class Found:
    """Accuracies of one network on one chip."""

    shares: Mapping[str, float]
    """By label, the ideal network's too."""
    images: int
    refused: Mapping[str, str]
    """Labels that the bundle cannot do, and why."""


def _accuracies(bench: Bench, bundle: str, chip: Chip) -> Found:
    from accelsim.accuracy.infer import infer

    found: dict[str, float] = {}
    refused: dict[str, str] = {}
    images = 0
    for label, chosen in REMEDIES.items():
        try:
            result = infer(bundle, "spikeflow", settings=dict(chip.settings), remedies=("adc_range", *chosen))
        except InputError as error:  # a bundle without batch-norm statistics
            if "bn_adaptation" not in chosen:
                raise
            refused[label] = str(error)
            continue
        found["ideal"], found[label] = result.ideal_accuracy, result.accuracy
        images = int(result.data["images"])
        bench.inputs[bundle] = str(result.bundle["hash"])
        bench.inputs[f"spikeflow [{chip.name}, 6-bit converters]"] = str(result.hardware["hash"])
    return Found(found, images, refused)


def _rows(bundle: str, chip: Chip, found: Found) -> list[Row]:
    one, shares = f"one image is {100 / found.images:.2g} %", found.shares

    def line(what: str, share: float | None, note: str = one, **filled: str) -> Row:
        physical = None if share is None else 100 * share
        names: dict[str, Any] = {"bundle": bundle, "chip": chip.name, "images": found.images, "note": note, **filled}
        return FIGURE.row(what, physical=physical, **names)

    rows = [
        line("accuracy", shares.get(name), found.refused.get(name, one), name=name) for name in ("ideal", *REMEDIES)
    ]
    best = max(share for name, share in shares.items() if "encoding and" in name)
    rows.append(line("gained", shares["weight encoding"] - shares["non-ideal"]))
    return [*rows, line("lost", shares["ideal"] - best)]


def _run(bench: Bench) -> Outcome:
    table = {(bundle, chip.name): (chip, _accuracies(bench, bundle, chip)) for bundle in BUNDLES for chip in CHIPS}
    rows = [FIGURE.row(name, bundle="", images=0) for name in ("encoding", "both")]
    for (bundle, _), (chip, found) in table.items():
        rows += _rows(bundle, chip, found)
    pictured = {key: found.shares for key, (_, found) in table.items()}
    return Outcome(rows, FIGURE.notes(), {"fig6b": partial(_draw, pictured)})


def _draw(table: Mapping[tuple[str, str], Mapping[str, float]], path: Path | None = None) -> Figure:
    figure = new_figure(9.5, 3.8)
    labels: Sequence[str] = ["ideal", *REMEDIES]
    colours = ["#999999", "#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#7fcdbb", "#009E73"]
    for axes, bundle in zip(figure.subplots(1, len(BUNDLES), sharey=True), BUNDLES, strict=True):
        for index, (label, colour) in enumerate(zip(labels, colours, strict=True)):
            values = [100 * table[bundle, chip.name].get(label, 0.0) for chip in CHIPS]
            places = [place + (index - 3) * 0.12 for place in range(len(CHIPS))]
            axes.bar(places, values, 0.11, color=colour, label=label)
        axes.axhline(10, color="black", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(CHIPS)), [chip.name for chip in CHIPS], fontsize=8)
        axes.set_title(bundle)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel("accuracy (%)" if bundle == BUNDLES[0] else "")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run, cheap=False)
