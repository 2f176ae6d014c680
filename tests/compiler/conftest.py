"""The tiny detector's model, which several files look at."""

from pathlib import Path

import pytest

from flatshot.compiler.convert import Model, convert
from flatshot.formats.graphdef import Graph
from flatshot.models.export import export


@pytest.fixture(scope="session")
def tiny_graph(tiny: Path) -> Graph:
    """The tiny detector's graph, with the operator."""
    return export(tiny, max_detections=100, use_regular_nms=True)


@pytest.fixture(scope="session")
def tiny_model(tiny_graph: Graph) -> Model:
    """The tiny detector's model, with the operator."""
    return convert(tiny_graph)
