"""Workloads from a few layers, without files where none are needed."""

from pathlib import Path

import pytest
import yaml

from accelsim.workload import Workload, load_workload, schema
from accelsim.workload.graph import Graph
from accelsim.workload.shapes import build_graph

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def graph_of():
    """`graph_of(layers, shape, encoding=..., **top-level keys)`: the resolved graph."""

    def build(layers: list[dict], shape: list[int], encoding: str = "rate", **keys) -> Graph:
        content = {"name": "test", "timesteps": 2, "input": {"shape": shape, "encoding": encoding}, **keys}
        file = schema.WorkloadFile.model_validate({**content, "layers": layers})

        def complain(index: int, message: str):
            raise AssertionError(f"layers[{index}]: {message}")

        return build_graph(file, complain)

    return build


@pytest.fixture
def write(tmp_path):
    """`write(text or content)`: a workload file; returns its path."""

    def to_file(content: str | dict) -> Path:
        path = tmp_path / "net.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return to_file


@pytest.fixture
def loaded(write):
    """`loaded(layers, shape, density=..., **top-level keys)`: a workload, by way of a file."""

    def load(layers: list[dict], shape: list[int], encoding: str = "rate", density=0.5, **keys) -> Workload:
        head = {"name": "test", "timesteps": 2, "input": {"shape": shape, "encoding": encoding}}
        return load_workload(write({**head, "activity": {"density": density}, **keys, "layers": layers}))

    return load
