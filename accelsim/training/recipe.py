"""The recipe file: everything that decides a training, from data to the exported bundle.

    accelsim train digits_resnet --out workloads/digits_resnet

A bare name finds a recipe that comes with accelsim (`accelsim/training/recipes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from accelsim.core import options
from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import is_file, read_yaml
from accelsim.core.settings import Override, Section, as_overrides, validate
from accelsim.workload.schema import NeuronFields, Precision

LARGEST_SEED = 2**63 - 1
RECIPES = Path(__file__).resolve().parent / "recipes"


class DigitsData(Section):
    """scikit-learn's handwritten digits: 1437 images to learn from, 360 held out, one grey channel."""

    name: Literal["digits"]
    size: int = Field(16, ge=8, le=64)
    """Side of the images, upsampled bilinearly from 8x8."""
    shift_pixels: int = Field(0, ge=0, le=8)
    """Training images are moved by up to this many pixels in both directions."""
    limit: int | None = Field(None, ge=2)
    """Learn from only the first so many images; all 360 stay held out. A hundred tell methods apart, 1437 hardly do."""


class CifarData(Section):
    """CIFAR-10 or CIFAR-100 from a directory of the user's."""

    name: Literal["cifar10", "cifar100"]
    directory: str
    """The unpacked archive, binary or python layout; a relative path starts at the current directory."""
    shift_pixels: int = Field(0, ge=0, le=8)
    """Training images are moved by up to this many pixels in both directions."""
    limit: int | None = Field(None, ge=2)
    """Use only the first so many images of either part, for a quick trial."""


class FrameEncoder(Section):
    """Still images, coded in time."""

    name: Literal["direct", "rate", "ttfs", "hybrid"]


class MovingEncoder(Section):
    """Still images that move, seen as signed events (synthetic)."""

    name: Literal["moving"]
    canvas: int = Field(20, ge=2, le=256)
    """Side of the canvas in pixels; larger than the images."""
    contrast: float = Field(0.15, gt=0.0, le=1.0)
    """Smallest change of a pixel that makes an event."""


class DigitsNetModel(Section):
    """conv16 - conv32 - pool - conv64 - pool - fc128 - fc10 for 1x16x16 images."""

    name: Literal["digits_net"]


class VggModel(Section):
    """A VGG; see `accelsim.training.vgg`."""

    name: Literal["vgg5", "vgg9", "vgg11", "vgg16"]
    width: int = Field(64, ge=1)
    """Channels of the first layer; all others scale with it."""
    pooling: Literal["max", "avg"] = "max"
    """Of spikes: an OR, or multiples of 1/4."""


class ResNetModel(Section):
    """A residual network; see `accelsim.training.resnet`."""

    name: Literal["resnet18", "resnet19", "resnet20"]
    width: int | None = Field(None, ge=1)
    """Channels of the first stage; all others scale with it. The original's by default."""
    add: Literal["current", "spikes"] = "current"
    """What a shortcut is added to: the current before the neurons (tdBN) or their spikes (SEW)."""
    stem: Literal["small", "large"] = "small"
    """3x3 of stride 1, or 7x7 of stride 2 and a pooling."""


class SpikformerModel(Section):
    """A spiking transformer; see `accelsim.training.spikformer`."""

    name: Literal["spikformer"]
    width: int = Field(64, ge=1)
    """Features of a token."""
    depth: int = Field(2, ge=1)
    """Encoder blocks."""
    heads: int = Field(4, ge=1)
    """Heads of the attention; they divide the width."""
    mlp_ratio: int = Field(4, ge=1)
    """Hidden features of the perceptron in multiples of the width."""
    patch: Literal[1, 2, 4, 8, 16] = 4
    """Side of the patch that becomes a token."""


class TrainableNeuron(NeuronFields):
    """The neuron record, as far as a network can be trained with it."""

    layer_sharing: bool = False
    """Layers of neurons use the membranes of the one before where the maps have the same shape; see
    `accelsim.training.stepped`."""

    @model_validator(mode="after")
    def _trainable(self) -> TrainableNeuron:
        if self.accumulate_then_fire or self.shares_state_with is not None:
            raise ValueError(
                "accumulate_then_fire and shares_state_with are ways to run a trained network; a recipe cannot train "
                "with them (layer_sharing trains layers that share)"
            )
        if self.fire_once and self.max_spikes > 1:
            raise ValueError("fire_once allows one spike over all timesteps, max_spikes several in one")
        if self.fire_once and self.channel_sharing > 1:
            raise ValueError("channel_sharing: neurons that share a membrane cannot tell which of them has fired_once")
        return self


class Bptt(Section):
    """Surrogate-gradient back-propagation through time; see `accelsim.training.methods.bptt`."""

    name: Literal["bptt"] = "bptt"
    input_noise: float = Field(0.0, ge=0.0)
    """Standard deviation of Gaussian noise on the pixels that are learned from (0 to 1)."""
    attack_epsilon: float = Field(0.0, ge=0.0, le=1.0)
    """Above 0, the held-out images are also tried under attack (FGSM and PGD; 8/255 is customary)."""


class QcfsMethod(Section):
    """ANN-to-SNN conversion through quantised activations; see `accelsim.training.qcfs`."""

    name: Literal["qcfs"]
    levels: Literal[2, 4, 8, 16, 32, 64, 128, 256] = 16
    """Quantisation steps L of an activation."""
    code: Literal["digits", "rate"] = "digits"
    """How spikes say an activation: binary digits, lossless at T = log2 L, or their number, for T = L."""
    bit_l1: float = Field(0.0, ge=0.0)
    """Coefficient of the set bits of all activations of an image in the loss; fewer bits are fewer spikes."""


class HardwareInTheLoop(Section):
    """A machine whose figures are part of a search's cost; see `accelsim.training.evolution`."""

    machine: str
    """Hardware file or name of a bundled machine."""
    figure: Literal["energy", "latency", "edp"] = "energy"
    """Of a run that ends where the network has decided."""
    weight: float = Field(100.0, ge=0.0)
    """Cost of the starting network's figure."""
    peak_energy_pj: float | None = Field(None, gt=0.0)
    """Most that one layer may need."""


class EvolutionMethod(Section):
    """Conversion by rates and differential evolution of the thresholds; see `accelsim.training.evolution`."""

    name: Literal["evolution"]
    percentile: float = Field(99.7, gt=0.0, le=100.0)
    """Of a layer's activations: its threshold before the search."""
    alpha: float = Field(1.0, ge=0.0)
    """Cost of a timestep until the accuracy rises most."""
    beta: float = Field(10.0, ge=0.0)
    """Cost of a flat rise."""
    gamma: float = Field(500.0, ge=0.0)
    """Cost of the final error."""
    population: int = Field(12, ge=5)
    """Candidates of a generation."""
    generations: int = Field(8, ge=1)
    """Generations after the first."""
    spread: float = Field(0.15, gt=0.0)
    """Standard deviation of the first population around the starting thresholds, in multiples of them."""
    subset_images: int = Field(96, ge=1)
    """Random training images that a candidate is tried on."""
    evaluation_images: int = Field(512, ge=1)
    """First training images, which balance the thresholds and on which the best candidates meet the start."""
    fgsm_epsilon: float = Field(0.0, ge=0.0, le=1.0)
    """Above 0, thresholds are searched and tried on images under attack (8/255 is customary)."""
    tolerance: float = Field(0.01, ge=0.0, lt=1.0)
    """Accuracy given up against the source network, a share of 1, for a run to count as decided."""
    hardware: HardwareInTheLoop | None = None
    """A machine whose figures are part of the cost."""


class HybridMethod(Section):
    """Conversion, then BPTT with trainable thresholds and leaks; see `accelsim.training.methods.hybrid`."""

    name: Literal["hybrid"]
    source_epochs: int = Field(6, ge=1)
    """Epochs of the source network; `epochs` are those of the spiking one."""
    percentile: float = Field(99.7, gt=0.0, le=100.0)
    """Of a layer's activations: its threshold before scaling."""
    threshold_scale: float = Field(0.4, gt=0.0)
    """Factor on those thresholds, so that few timesteps cause spikes."""
    balance_images: int = Field(512, ge=1)
    """First training images, of whose activations the percentiles are taken."""
    leak: float = Field(1.0, ge=0.0, le=1.0)
    """Where the leaks start."""


class SingleSpikeMethod(Section):
    """Conversion, then BPTT with one spike per neuron at the most; see `accelsim.training.single_spike`."""

    name: Literal["single_spike"]
    source_epochs: int = Field(8, ge=1)
    """Epochs of the source network; `epochs` are those of the spiking one."""
    percentile: float = Field(99.7, gt=0.0, le=100.0)
    """Of a layer's activations: its threshold before scaling."""
    threshold_scale: float = Field(0.4, gt=0.0)
    """Factor on those thresholds."""
    balance_images: int = Field(512, ge=1)
    """First training images, of whose activations the percentiles are taken."""
    leak: float = Field(1.0, ge=0.0, le=1.0)
    """Where the leaks of the hidden layers start."""
    surrogate_peak: float = Field(0.3, gt=0.0)
    """gamma: largest value of a spike's surrogate gradient."""
    time_window: float = Field(0.2, gt=0.0)
    """beta: distance to the threshold within which a spike time of the output layer moves it."""
    compare: bool = True
    """Train the same network with direct and with rate encoding as well, for the comparison in `training.json`."""


class QuantisedMethod(Section):
    """Training in the whole numbers of `precision`; see `accelsim.training.quantised`."""

    name: Literal["quantised"]
    float_epochs: int = Field(6, ge=1)
    """Epochs in floating point, with batch-norm; `epochs` are those in whole numbers, without."""
    learning_rate_scale: float = Field(0.3, gt=0.0)
    """Of the learning rate, for the epochs in whole numbers."""


class PrunedMethod(Section):
    """Magnitude pruning with rewinding; see `accelsim.training.pruning`."""

    name: Literal["pruned"]
    sparsity: float = Field(0.9, gt=0.0, lt=1.0)
    """Share of weights (of channels, where structured) that end as zeros."""
    rounds: int = Field(3, ge=1)
    """Trainings that end in a pruning; one more follows. The same share of what is left goes in each."""
    rewind_epochs: int = Field(1, ge=0)
    """Epochs after which the weights are kept that every round starts from; 0: before the first."""
    structure: Literal["weights", "channels"] = "weights"
    """Single weights anywhere, or whole output channels."""


class Optimizer(Section):
    """AdamW with one OneCycle learning-rate cycle over all epochs."""

    name: Literal["adamw"] = "adamw"
    """The one there is."""
    batch_size: int = Field(64, ge=2)
    """Images per step; at least two, for the batch-norms."""
    learning_rate: float = Field(3e-3, gt=0.0)
    """Peak of the cycle."""
    weight_decay: float = Field(1e-2, ge=0.0)
    """Decoupled from the gradient (Loshchilov and Hutter, arXiv:1711.05101)."""


class Export(Section):
    """What the bundle holds of the held-out images."""

    images: int = Field(64, ge=1)
    """How many of them, from the first."""


class Recipe(Section):
    """A training, from data to the exported bundle."""

    format: Literal["accelsim.recipe/1"] = "accelsim.recipe/1"
    """Format of the file, with its version; may be left out."""
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")
    """Name of the workload, and of its directory where none is given."""
    description: str = ""
    """What the network is, for the reader of the workload file."""
    data: Annotated[DigitsData | CifarData, Field(discriminator="name")]
    """Images to learn from and to be tried on."""
    encoder: Annotated[FrameEncoder | MovingEncoder, Field(discriminator="name")] = FrameEncoder(name="direct")
    """How images become inputs over time."""
    model: Annotated[DigitsNetModel | VggModel | ResNetModel | SpikformerModel, Field(discriminator="name")]
    """The network."""
    neuron: TrainableNeuron = TrainableNeuron()
    norm_alpha: float | None = Field(None, gt=0.0)
    """Gain of every batch-norm before training in thresholds: alpha of tdBN. The network's own by default."""
    norm_statistics: Literal["all_timesteps", "each_timestep"] = "all_timesteps"
    """Whether a batch-norm's statistics and gain are those of all timesteps together (tdBN), or of each timestep's own
    (BNTT; see `accelsim.training.bntt`)."""
    timesteps: int = Field(4, ge=1, le=256)
    """Timesteps T."""
    method: Annotated[
        Bptt | QcfsMethod | EvolutionMethod | HybridMethod | SingleSpikeMethod | QuantisedMethod | PrunedMethod,
        Field(discriminator="name"),
    ] = Bptt()
    """How the network comes about (`accelsim.training.methods`)."""
    epochs: int = Field(10, ge=1)
    """Passes over the images."""
    optimizer: Optimizer = Optimizer()
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Of weights, batches and everything drawn at random in training."""
    precision: Precision = Precision()
    export: Export = Export()


def bundled_recipes() -> list[str]:
    """Names of the recipes that come with accelsim."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def find_recipe(name: str | Path) -> Path:
    """The file of a path, or of the bare name of a bundled recipe.

    Raises:
        InputError: nothing of that name; the message lists what exists.
    """
    for candidate in (Path(name), RECIPES / f"{name}.yaml"):
        if is_file(candidate):
            return candidate
    known = bundled_recipes()
    hint = did_you_mean(Path(name).stem, known)
    raise InputError(Problem(f"no such recipe file or bundled recipe{hint} (bundled: {', '.join(known)})", str(name)))


def load_recipe(
    source: str | Path,
    settings: Mapping[str, Any] | Iterable[str | Override] | None = None,
    seed: int | None = None,
) -> Recipe:
    """Read and check a recipe.

    Args:
        source: recipe file, or name of a bundled recipe.
        settings: overrides of dotted keys, e.g. ``{"epochs": 2, "model.width": 8}``.
        seed: replaces the recipe's.

    Raises:
        InputError: everything that is wrong with the recipe, with file, line and dotted path.
    """
    chosen = options.source(source, "source", "a recipe file or the name of a bundled recipe")
    overrides = as_overrides(settings)
    if seed is not None:
        overrides.append(Override("seed", options.count(seed, "seed", least=0, most=LARGEST_SEED)))
    return validate(Recipe, read_yaml(find_recipe(chosen)), overrides)
