"""From a trained network of any form to a bundle, through the tracer of `accelsim.frontend`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
from torch import Tensor, nn

from accelsim.frontend import trace
from accelsim.training.encoders import Encoding
from accelsim.training.export import export_bundle
from accelsim.training.layers import folded_norms
from accelsim.training.models import SpikingNet
from accelsim.workload import Bundle
from accelsim.workload.bundle import check_target, write_bundle


def export_network(
    net: nn.Module,
    directory: Path,
    *,
    timesteps: int,
    name: str,
    description: str,
    source: str,
    images: Tensor,
    labels: Tensor,
    precision: Mapping[str, int],
    encoding: Encoding = "direct",
    beside: Mapping[str, str] | None = None,
) -> Bundle:
    """Run `net` (batch-norms folded, evaluation mode) on `images` and write its bundle.

    A `SpikingNet` knows its layers and is written as it describes itself; the call sites of any other network
    (residual additions, products of attention) are found by running it under the tracer.

    Args:
        net: the network as it is to be deployed; it takes `images` and gives logits [timesteps, N, classes].
        timesteps: T.
        directory, name, description, source, images, labels, precision, encoding, beside: as in `export_bundle`.

    Raises:
        InputError: something that a workload file cannot describe, or a directory that is no bundle.
    """
    if isinstance(net, SpikingNet):
        return export_bundle(
            net, directory, name=name, description=description, source=source, images=images, labels=labels,
            precision=precision, encoding=encoding, beside=beside,
        )  # fmt: skip
    check_target(directory)
    layout: Literal["TN", "N"] = "TN" if images.dim() == 5 else "N"
    traced = trace(net, images, timesteps=timesteps, layout=layout, name=name, labels=labels, precision=precision)
    found = traced.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True)
    head = {"format": found["format"], "name": name, "description": description, "source": source}
    told = {"input": {**found["input"], "encoding": encoding}}  # rate and ttfs look the same to a tracer
    return write_bundle(
        directory,
        head | {key: value for key, value in found.items() if key not in head} | told,
        weights={**traced.weights, **_norms(net, traced)},
        trace=traced.trace,
        samples=traced.samples,
        beside=beside,
    )


def _norms(net: nn.Module, traced: Bundle) -> dict[str, npt.NDArray[Any]]:
    """Batch-norms that were folded before the tracer came, under the names that it gave the layers' call sites."""
    norms = folded_norms(net)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for op in traced.workload.graph.weighted:
        path = op.name if op.name in norms else re.sub(r"-\d+$", "", op.name)  # a layer called again is numbered
        if path in norms:
            arrays |= norms[path].arrays(op.name)
    return arrays
