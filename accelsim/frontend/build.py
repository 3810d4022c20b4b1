"""From a finished recording to a bundle: timesteps, weights with batch-norm folded, packed spikes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import Document
from accelsim.core.options import document
from accelsim.core.settings import validate
from accelsim.core.types import FloatArray
from accelsim.frontend.classify import Chunk, combined
from accelsim.frontend.describe import Layers, describe, kept_sites
from accelsim.frontend.over_time import affine_of, chains_in_time, common_path
from accelsim.frontend.packing import Packer
from accelsim.frontend.recorder import Recorder
from accelsim.frontend.sites import WEIGHTED, Norm, Recording, Site
from accelsim.workload.bundle import Bundle, TraceLevel
from accelsim.workload.schema import Precision

Arrays = dict[str, npt.NDArray[Any]]
_CACHED = 32768
"""Weights that are folded at a time."""


@dataclass(frozen=True)
class Options:
    """What a trace is to contain."""

    name: str
    timesteps: int | None
    level: TraceLevel = "spikes"
    fold_bn: bool = True
    precision: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        """Refuse a misspelt precision before the network runs."""
        widths = document({} if self.precision is None else self.precision, "precision")
        validate(Precision, Document(Path("precision"), widths))
        object.__setattr__(self, "precision", widths)


def build_bundle(recorder: Recorder, options: Options, samples: Arrays) -> tuple[Bundle, list[str]]:
    """The bundle of a recorded run, and everything the user should be told about it.

    Raises:
        InputError: nothing was recorded, or the network is one that a workload cannot describe.
    """
    if not recorder.weighted:
        unknown = [label for label, macs in recorder.missed.most_common(5) if macs]
        lost = f"; what cannot be described: {', '.join(unknown)}" if unknown else ""
        raise InputError(
            Problem(
                f"the network ran, but no convolution, linear layer or product of activations was seen in it{lost}",
                where=options.name,
            )
        )
    remarks: list[str] = list(dict.fromkeys(recorder.remarks))
    timesteps = _timesteps(recorder, options.timesteps, remarks)
    sites = kept_sites(recorder.sites.values())
    weights, biased = _weights(sites, timesteps, options.fold_bn, remarks)
    layers = describe(sites, Layers())
    for layer in layers.layers:
        if layer["name"] in {layers.names[id(site)] for site in biased}:
            layer.pop("bias", None)
    remarks += layers.remarks
    remarks += _altered(sites, layers)
    remarks += _coverage(recorder)
    chunks = {
        (id(site), index): _in_time(recording, timesteps, layers.names[id(site)], recorder, remarks)
        for site in sites
        for index, recording in enumerate(site.recordings)
    }
    encoding = _encoding(sites, chunks, timesteps, recorder)
    assert recorder.input is not None
    description: dict[str, Any] = {
        "format": "accelsim.workload/1",
        "name": options.name,
        "timesteps": timesteps,
        "input": {"shape": _input_shape(recorder.input), "encoding": encoding},
        **({"precision": dict(options.precision)} if options.precision else {}),
        "layers": layers.layers,
    }
    trace = Packer(description, sites, layers, chunks).pack()
    named = {f"{layers.names[key]}.{field}": array for (key, field), array in weights.items()}
    for site in sites:
        if site.affine is not None:
            named |= site.affine[1].arrays(layers.behind[id(site)])
    bundle = Bundle.of(
        description, weights=named, trace=trace, samples=samples, level=options.level, notes=tuple(remarks)
    )
    return bundle, remarks


# --- time -----------------------------------------------------------------------------------------------


def _length(recording: Recording) -> int:
    return sum(chunk.timesteps for chunk in recording.chunks)


def _timesteps(recorder: Recorder, wanted: int | None, remarks: list[str]) -> int:
    """T: the steps that were run; what was asked for where the network ran once."""
    if recorder.stepwise:
        found = max(recorder.steps, 1)
    else:
        counts = Counter(_length(site.recordings[0]) for site in recorder.weighted)
        several = Counter({steps: count for steps, count in counts.items() if steps > 1})
        if wanted in counts:
            assert wanted is not None
            return wanted
        found = several.most_common(1)[0][0] if several else 1
    if wanted is not None and found != wanted:
        remarks.append(f"timesteps={wanted} was asked for, but the network ran {found}; the trace has {found}")
    return found


def _in_time(recording: Recording, timesteps: int, name: str, recorder: Recorder, remarks: list[str]) -> list[Chunk]:
    """The chunks of one operand over T timesteps (or the one chunk of what is computed once)."""
    chunks = list(recording.chunks)
    length = _length(recording)
    if length in (1, timesteps):
        return chunks
    silent = replace(chunks[0], kind="zero", data=None, timesteps=1, step=1.0)
    if recorder.stepwise and length < timesteps and len(chunks) == length:
        by_step = dict(zip(recording.steps, chunks, strict=True))
        if recording.steps != list(range(1, timesteps)):  # feedback has no input at the first timestep
            remarks.append(f"'{name}' ran in {length} of {timesteps} timesteps; the others count as silent")
        return [by_step.get(step, silent) for step in range(timesteps)]
    remarks.append(f"'{name}' ran {length} times, the network {timesteps} timesteps; the trace is cut or filled up")
    if length < timesteps:
        return chunks + [silent] * (timesteps - length)
    whole = chunks[:timesteps] if len(chunks) == length else chunks
    return whole


# --- weights --------------------------------------------------------------------------------------------


def _weights(
    sites: Sequence[Site], timesteps: int, fold: bool, remarks: list[str]
) -> tuple[dict[tuple[int, str], npt.NDArray[Any]], list[Site]]:
    """Weights, biases and batch-norms by site and field, and the sites that got a bias from a batch-norm."""
    arrays: dict[tuple[int, str], npt.NDArray[Any]] = {}
    biased: list[Site] = []
    for site in sites:
        if site.weight is None:
            continue
        weight, bias = site.weight, site.bias
        norms = _norms_of(site)
        in_time = chains_in_time(site, timesteps) if fold else None
        if in_time is not None:
            gain, shift, rest = affine_of(in_time).split()
            weight, bias = scaled(weight, bias, gain, shift)
            biased.append(site)
            site.affine = common_path(in_time), rest
        elif norms and fold and len(site.chains) == 1:
            weight, bias = folded(weight, bias, norms)
            biased.append(site)
            # Of several in a row the last alone decides the mean and the spread of what comes out.
            last = norms[-1].statistics.arrays("")
            arrays.update({(id(site), name.removeprefix(".")): array for name, array in last.items()})
        elif norms:
            why = "fold_bn=False" if not fold else "its output is also read without it, or through another one"
            remarks.append(
                f"the batch-norm '{norms[0].path}' is not folded into '{site.path}' ({why}): the trace has its "
                f"effect, the weights do not"
            )
        # Unfolded arrays are still the model's own memory: what the user trains on must not change the bundle.
        arrays[id(site), "weight"] = weight.copy() if weight is site.weight else weight
        if bias is not None:
            arrays[id(site), "bias"] = bias.copy() if bias is site.bias else bias
    return arrays, biased


def _norms_of(site: Site) -> tuple[Norm, ...]:
    return next((chain for chain in site.chains if chain), ())


def folded(
    weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32] | None, norms: Sequence[Norm]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights [out, ...] and bias [out] that compute the layer and its batch-norms at once.

    W' = gain W, b' = gain b + offset, in double precision and rounded once.
    """
    gain, shift = np.ones(weight.shape[0]), np.zeros(weight.shape[0])
    for norm in norms:
        gain, shift = gain * norm.gain, shift * norm.gain + norm.offset
    return scaled(weight, bias, gain, shift)


def scaled(
    weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32] | None, gain: FloatArray, shift: FloatArray
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights [out, ...] times gains and bias [out] times gains plus shifts, rounded once."""
    result = np.empty_like(weight)
    rows, target = weight.reshape(len(gain), -1), result.reshape(len(gain), -1)
    block = max(1, _CACHED // rows.shape[1])
    for start in range(0, len(gain), block):  # doubles of a few rows at a time stay in the cache
        part = slice(start, start + block)
        target[part] = rows[part] * gain[part, None]
    moved = shift if bias is None else gain * bias + shift
    return result, moved.astype(np.float32)


# --- what the user should know ----------------------------------------------------------------------------


def _altered(sites: Sequence[Site], layers: Layers) -> list[str]:
    """Element-wise operations between a layer's product and its reader, which no layer of a workload holds."""
    found: dict[str, None] = {}
    for site in sites:
        functional_neuron = site.kind == "neuron" and site.module is None
        for operand in site.operands:
            if operand.altered and not functional_neuron and operand.site.kind in (*WEIGHTED, "add"):
                name = layers.names.get(id(operand.site), operand.site.path)
                found[f"{', '.join(operand.altered)} after '{name}'"] = None
    if not found:
        return []
    return [
        f"element-wise operations that the workload does not hold: {'; '.join(found)}. The trace has their effect, a "
        f"replay from the weights would not"
    ]


def _coverage(recorder: Recorder) -> list[str]:
    known = {site.path for site in recorder.weighted}
    missed = {
        label: macs for label, macs in recorder.missed.items() if macs and recorder.constant.get(label) not in known
    }
    if not missed:
        return []
    images = max(recorder.batch.size, 1)
    captured = sum(site.macs * (_length(site.recordings[0]) if site.recordings else 1) for site in recorder.weighted)
    lost = sum(missed.values()) / images
    share = captured / (captured + lost)
    worst = sorted(missed, key=lambda label: -missed[label])[:5]
    return [
        f"not captured: {', '.join(worst)}{' and others' if len(missed) > 5 else ''}; the trace covers {share:.1%} of "
        f"the network's MACs"
    ]


# --- activations ------------------------------------------------------------------------------------------


def _input_shape(site: Site) -> list[int]:
    if not 1 <= len(site.shape) <= 4:
        raise InputError(
            Problem(
                f"an image of shape {list(site.shape)} cannot be described: 1 to 4 dimensions after time and batch; "
                f"state layout= if the first dimensions mean something else",
                where="input",
            )
        )
    return list(site.shape)


def _encoding(
    sites: Sequence[Site], chunks: Mapping[tuple[int, int], list[Chunk]], timesteps: int, recorder: Recorder
) -> str:
    """How the network's input is coded, judged by what the operations that read it saw."""
    seen: list[Chunk] = []
    for site in sites:
        for index, operand in enumerate(site.operands):
            if operand.site is recorder.input and (id(site), index) in chunks:
                seen += chunks[id(site), index]
    if not seen:
        return "direct"
    static = _is_static(seen)
    record = combined(seen)
    if record.kind == "binary" and not (static and timesteps > 1):
        return "rate"
    if record.kind == "ternary" and record.planes == 2 and not (static and timesteps > 1):
        return "events"
    return "direct" if static else "analog"


def _is_static(chunks: Sequence[Chunk]) -> bool:
    if sum(chunk.timesteps for chunk in chunks) == 1:
        return True
    first = chunks[0].values()[:1]
    return all(chunk is chunks[0] or bool((chunk.values() == first).all()) for chunk in chunks) and bool(
        (chunks[0].values() == first).all()
    )
