"""PyTorch side: spiking neurons, encoders, data, a small model zoo, training recipes, export to bundles.

A recipe is a file and a command: ``accelsim train digits_resnet --out digits_resnet``; see docs/training.md.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "accelsim.snn trains networks with PyTorch, which is not installed: pip install 'accelsim[torch]'",
        name="torch",
    ) from error

# Before the function of that name is bound: the first import of a module puts it in its package's namespace, and
# a later one would put the command in the place of the data.
import accelsim.snn.digits  # noqa: F401
from accelsim.recipe import Recipe, bundled_recipes, load_recipe
from accelsim.snn.cifar import cifar
from accelsim.snn.data import ImageSplit, digits
from accelsim.snn.encoders import Encoder, direct, encoder, rate, ttfs
from accelsim.snn.events import EventSplit, moving, moving_digits
from accelsim.snn.export import Recording, describe_layers, export_bundle, record
from accelsim.snn.models import SpikingNet, digits_net, fold_batchnorm
from accelsim.snn.neuron import LIF, Neuron, neuron_of
from accelsim.snn.resnet import SpikingResNet, resnet
from accelsim.snn.spikformer import Spikformer, spikformer
from accelsim.snn.traced import export_network
from accelsim.snn.train import TrainSettings, accuracy, predict, train
from accelsim.snn.training import Trained, build_network, train_recipe
from accelsim.snn.vgg import vgg

__all__ = [
    "LIF",
    "Encoder",
    "EventSplit",
    "ImageSplit",
    "Neuron",
    "Recipe",
    "Recording",
    "Spikformer",
    "SpikingNet",
    "SpikingResNet",
    "TrainSettings",
    "Trained",
    "accuracy",
    "build_network",
    "bundled_recipes",
    "cifar",
    "describe_layers",
    "digits",
    "digits_net",
    "direct",
    "encoder",
    "export_bundle",
    "export_network",
    "fold_batchnorm",
    "load_recipe",
    "moving",
    "moving_digits",
    "neuron_of",
    "predict",
    "rate",
    "record",
    "resnet",
    "spikformer",
    "train",
    "train_recipe",
    "ttfs",
    "vgg",
]
