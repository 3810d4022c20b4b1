"""The networks of Table II as the public tools describe them."""

from __future__ import annotations

from accelsim.studies.reproduce import sata_sim, spikesim_ela

Conv, Linear = sata_sim.Layer.conv, sata_sim.Layer.linear

VGG9_SATA = (
    Conv("conv1", 32, 3, 64),
    Conv("conv2", 32, 64, 64),
    Conv("conv3", 16, 64, 128),
    Conv("conv4", 8, 128, 128),
    Conv("conv5", 4, 128, 256),
    Conv("conv6", 4, 256, 256),
    Conv("conv7", 4, 256, 256),
    Linear("fc1", 1024, 1024),
    Linear("fc2", 1024, 512),
)
"""VGG-9 as the SATA column has it (its workload ``bntt``): a pooling after each layer from the second to the fourth."""

VGG9_ESTIMATE = (
    Conv("conv1", 32, 3, 64),
    Conv("conv2", 32, 64, 64),
    Conv("conv3", 16, 64, 128),
    Conv("conv4", 16, 128, 128),
    Conv("conv5", 8, 128, 256),
    Conv("conv6", 8, 256, 256),
    Conv("conv7", 8, 256, 256),
    Linear("fc1", 8192, 1024),
    Linear("fc2", 1024, 512),
)
"""VGG-9 as the estimated column has it: other maps, another classifier than in the SATA column."""

CIFARNET = (
    Conv("conv1", 32, 3, 128),
    Conv("conv2", 32, 128, 256),
    Conv("conv3", 16, 256, 512),
    Conv("conv4", 8, 512, 1024),
    Conv("conv5", 4, 1024, 512),
    Linear("fc1", 8192, 1024),
    Linear("fc2", 1024, 512),
)
"""CIFARNet (workloads ``direct`` and ``tssl``)."""

RESNET19 = (
    Conv("conv1", 32, 3, 128),
    *(Conv(f"conv{index}", 32, 128, 128) for index in range(2, 8)),
    Conv("conv8", 32, 128, 256, stride=2),
    *(Conv(f"conv{index}", 16, 256, 256) for index in range(9, 14)),
    Conv("conv14", 16, 256, 512, stride=2),
    *(Conv(f"conv{index}", 8, 512, 512) for index in range(15, 18)),
    Linear("fc", 8192, 256),
)
"""ResNet-19 (workloads ``tdbn`` and ``lth``), shortcuts left out."""


def true_macs(layers: tuple[sata_sim.Layer, ...]) -> int:
    """Multiply-accumulates of one dense timestep with padding on convolutions only."""
    return sum(
        layer.filters * layer.window * (layer.padded_outputs if layer.kernel_height > 1 else 1) for layer in layers
    )


def crossbar_layers(layers: tuple[sata_sim.Layer, ...], *, linear: bool) -> list[spikesim_ela.Layer]:
    """The same for the SpikeSim script, by output positions of the convolution itself."""
    return [
        spikesim_ela.Layer(layer.channels, layer.filters, layer.height, -(-layer.height // layer.stride))
        for layer in layers
        if linear or layer.kernel_height > 1
    ]


def vgg(maps: tuple[tuple[int, int], ...]) -> list[spikesim_ela.Layer]:
    """A VGG for the SpikeSim script: (channels, size after pooling) by convolution, three channels in."""
    layers, channels, size = [], 3, maps[0][1]
    for out_channels, out_size in maps:
        layers.append(spikesim_ela.Layer(channels, out_channels, size, out_size))
        channels, size = out_channels, out_size
    return layers


VGG16_TINYIMAGENET = (
    *((64, 64), (64, 32), (128, 32), (128, 16), (256, 16), (256, 16), (256, 8)),
    *((512, 8), (512, 8), (512, 4), (512, 4), (512, 4), (512, 2)),
)
"""VGG-16 on 64x64 images in the script's convention: sizes after the pooling that follows."""
