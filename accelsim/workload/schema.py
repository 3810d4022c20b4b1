"""The workload file: what is computed, at which precision, how active it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from accelsim.core.settings import Section
from accelsim.workload.kinds import AnyWeighted, OpSpec
from accelsim.workload.kinds.convolution import PaddingPair, SizePair


def _density(value: Any) -> Any:
    """A number, one number per timestep, or either of them per operation."""
    if isinstance(value, dict):
        return {key: _density_values(item, f"'{key}': ") for key, item in value.items()}
    return _density_values(value, "")


def _density_values(value: Any, prefix: str) -> float | tuple[float, ...]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        raise ValueError(f"{prefix}an empty list of densities")
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError(f"{prefix}expected a number between 0 and 1, found {item!r}")
        if not 0.0 <= item <= 1.0:
            raise ValueError(f"{prefix}found {item!r}, must be between 0 and 1")
    return tuple(float(item) for item in items) if isinstance(value, list | tuple) else float(items[0])


Densities = float | tuple[float, ...]
_DENSITY_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"type": "number", "minimum": 0, "maximum": 1},
                    {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
                ]
            },
        },
    ]
}


class Precision(Section):
    """Word widths of the deployed network."""

    weight_bits: int = Field(8, ge=1, le=32)
    """Bits of a weight, sign included."""
    membrane_bits: int = Field(8, ge=1, le=32)
    """Bits of a stored membrane potential."""
    activation_bits: int = Field(8, ge=1, le=32)
    """Bits of an analog activation: the pixels of a direct-encoded input, every activation of the ANN."""


class NeuronFields(Section):
    """Everything in which spiking neurons of different frameworks differ."""

    model: Literal["if", "lif"] = "lif"
    """Integrate-and-fire, or leaky integrate-and-fire."""
    leak: float = Field(0.5, ge=0.0, le=1.0)
    """Factor lambda kept of the membrane potential from one timestep to the next; unused by `if`."""
    input_gain: float = 1.0
    """Factor on the input current (1/tau in some frameworks); folded into the weights in hardware."""
    threshold: float = Field(1.0, gt=0.0)
    """Firing threshold theta."""
    reset: Literal["hard", "soft", "none"] = "hard"
    """Reset to zero, subtraction of the threshold, or none."""
    reset_order: Literal["same_step", "next_step"] = "same_step"
    """Whether the reset takes effect in the timestep of the spike or one later."""
    compare: Literal[">=", ">"] = ">="
    """Whether a membrane exactly at the threshold fires."""
    max_spikes: int = Field(1, ge=1, le=255)
    """Most spikes of one neuron in one timestep: one for each multiple of the threshold that its membrane has reached
    (`>`: passed)."""
    fire_once: bool = False
    """At most one spike over all timesteps (single-spike coding)."""
    accumulate_then_fire: bool = False
    """Integrate the inputs of all timesteps first, then emit most-significant-bit first with a halving
    threshold."""
    initial_membrane: float = 0.0
    """Membrane potential before the first timestep (half the threshold after some ANN conversions)."""
    channel_sharing: int = Field(1, ge=1)
    """Groups of channels that use one stored membrane, one after another within a timestep (C#n)."""
    shares_state_with: str | None = None
    """Name of the neuron operation whose stored membranes this one reuses."""


class InputSpec(Section):
    """What enters the network."""

    shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=4)
    """[channels, height, width] (or other axes), [tokens, features] or [features]; no batch, no time."""
    encoding: Literal["direct", "analog", "rate", "ttfs", "hybrid", "events"] = "direct"
    """`direct`: the same real-valued frame at every timestep; `analog`: a new real-valued frame each
    timestep; `rate`, `ttfs`: binary spikes; `hybrid`: a real-valued frame at the first timestep, binary
    spikes at all others; `events`: signed (ternary) spikes."""


class ActivitySpec(Section):
    """How active the inputs of the weighted operations are. Give one of density, stats, trace."""

    density: Annotated[
        Densities | dict[str, Densities] | None,
        BeforeValidator(lambda value: None if value is None else _density(value)),
        WithJsonSchema(_DENSITY_SCHEMA),
    ] = None
    """Share of ones among the activation bits at the input of a weighted operation (for binary spikes:
    the firing rate). One number, one per timestep, or a mapping `operation: either` (with `default`
    for the operations not named)."""
    stats: str | None = None
    """A file of per-operation, per-timestep, per-image counts, beside the workload file."""
    trace: str | None = None
    """A spike-trace file beside the workload file."""
    source: str = "not stated"
    """Where the figures come from."""

    @model_validator(mode="after")
    def _one_kind(self) -> ActivitySpec:
        given = [name for name in ("density", "stats", "trace") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of density, stats, trace; found {' and '.join(given)}")
        return self


class PoolFields(OpSpec):
    """Window of a pooling operation, shapes by PyTorch's rules."""

    kernel: SizePair
    """Side of the window, or [height, width]."""
    stride: SizePair | None = None
    """Step of the window; the window itself by default."""
    padding: PaddingPair = (0, 0)
    """Zeros around the input, or [above and below, left and right]."""
    ceil_mode: bool = False
    """Whether a window that hangs over the edge still counts."""


class AvgPoolSpec(PoolFields):
    """Average pooling: of binary spikes it yields k-valued activations, stored as bit-planes."""

    op: Literal["avgpool2d"]


class MaxPoolSpec(PoolFields):
    """Maximum pooling: of binary spikes an OR."""

    op: Literal["maxpool2d"]


class AddSpec(OpSpec):
    """Element-wise sum (residual connection) of two or more inputs of one shape."""

    op: Literal["add"]


class TimeAffineSpec(OpSpec):
    """Currents times a gain plus an offset, both of each channel and timestep: what is left of a batch-norm with
    statistics of each timestep's own (BNTT) once its weights hold what all timesteps have in common.

    ``<op>.gain`` and ``<op>.offset`` of a bundle's weights are [timesteps, channels].
    """

    op: Literal["time_affine"]


class FlattenSpec(OpSpec):
    """All features in one axis; costs nothing."""

    op: Literal["flatten"]


class TokensSpec(OpSpec):
    """[channels, height, width] seen as [height * width tokens, channels], likewise a map of any other number of
    axes; costs nothing."""

    op: Literal["tokens"]


class ViewSpec(OpSpec):
    """The same elements in another arrangement (a permutation, a reshape to maps); costs nothing.

    `flatten` and `tokens` name the two that most networks need; this one takes any `out_shape` of as many
    elements.
    """

    op: Literal["view"]
    in_order: bool = False
    """Whether the elements keep their order (a reshape); only then is it known what the view does to values."""
    out_shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=4)
    """Shape of the output."""


class OpaqueSpec(OpSpec):
    """Something that is not modelled (a softmax, a slice, a delay, what a list of shapes leaves out).

    No machine charges for it; its output is as stated here. With `inputs: []` it stands for values from
    elsewhere, such as the spikes of the timestep before.
    """

    op: Literal["opaque"]
    does: str = ""
    """What it is, in words."""
    out_shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=4)
    """Shape of the output."""
    activation: Literal["binary", "ternary", "uint", "real"] = "real"
    """What a value of its output can be."""
    max_value: int = Field(1, ge=1, le=255)
    """Largest magnitude of a `ternary` or `uint` value."""
    static: bool = False
    """Whether the output is the same at every timestep."""


class NeuronSpec(OpSpec, NeuronFields):
    """Spiking neurons, one per element of the input. Fields not given come from the workload's `neuron`."""

    op: Literal["neuron"]


LayerSpec = Annotated[
    AnyWeighted
    | AvgPoolSpec
    | MaxPoolSpec
    | AddSpec
    | TimeAffineSpec
    | FlattenSpec
    | TokensSpec
    | ViewSpec
    | OpaqueSpec
    | NeuronSpec,
    Field(discriminator="op"),
]


class FileRecord(Section):
    """One data file of a bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Hash of the file's bytes."""


class WorkloadFile(Section):
    """A workload: layers in order, their precision, and how active their inputs are."""

    format: Literal["accelsim.workload/1"] = "accelsim.workload/1"
    """Format of the file, with its version; may be left out."""
    name: str = Field(min_length=1)
    """Name in results."""
    description: str = ""
    """What it is, for `accelsim list workloads`."""
    source: str = ""
    """Where the network comes from."""
    timesteps: int = Field(ge=1, le=4096)
    """Timesteps T of one inference."""
    input: InputSpec
    precision: Precision = Precision()
    neuron: NeuronFields = NeuronFields()
    """The neuron record of every neuron operation that does not say otherwise."""
    activity: ActivitySpec = ActivitySpec()
    layers: list[LayerSpec] = Field(min_length=1)
    """The operations in order."""
    files: dict[str, FileRecord] = Field(default_factory=dict)
    """Data files of a bundle with their content hashes; a changed file is refused."""
