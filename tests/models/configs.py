"""Configurations for tests, as changes of the tiny detector's."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.demo.tiny import PIPELINE, random_value
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.pipeline import merge_pipeline, read_pipeline
from flatshot.models.detection_config import DetectionConfig, read_config
from flatshot.models.export import build_graph

Array = npt.NDArray[Any]


def config(override: str = "", pipeline: str = PIPELINE) -> DetectionConfig:
    """The configuration `pipeline` with the text `override` merged over it."""
    message = read_pipeline(pipeline)
    merge_pipeline(message, override, "config_override")
    return read_config(message)


def ssd(text: str) -> str:
    """An override of the section `model.ssd`."""
    return f"model {{ ssd {{ {text} }} }}"


def extractor(text: str) -> str:
    """An override of the feature extractor's section."""
    return ssd(f"feature_extractor {{ {text} }}")


def predictor(text: str) -> str:
    """An override of the box predictor's section."""
    return ssd(f"box_predictor {{ convolutional_box_predictor {{ {text} }} }}")


def layers(count: int) -> str:
    """An override to so many feature maps."""
    scales = "scales: 0.5" if count == 1 else ""
    return ssd(
        f"feature_extractor {{ num_layers: {count} }} "
        f"anchor_generator {{ ssd_anchor_generator {{ num_layers: {count} {scales} }} }}"
    )


def built(*overrides: str) -> Graph:
    """The graph of the tiny configuration with `overrides`, its variables zeros."""
    return build_graph(config(" ".join(overrides)), None)


def shape(graph: Graph, name: str) -> tuple[int, ...]:
    """The shape of a constant."""
    return value(graph, name).shape


def value(graph: Graph, name: str) -> Array:
    """The value of a constant."""
    data = graph.by_name[name].attrs["value"]
    assert isinstance(data, np.ndarray)
    return data


def reads(graph: Graph, name: str) -> list[Node]:
    """The nodes that the node `name` reads."""
    return [graph.by_name[text] for text in graph.by_name[name].inputs]


def variables(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables in `graph`."""
    return {n.name: shape(graph, n.name) for n in graph if f"{n.name}/read" in graph.by_name}


class Values:
    """Variables with random values by name; some can be left out or put in another way."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], **changes: Array | None) -> None:
        self.values = {name: random_value(name, dims) for name, dims in shapes.items()}
        for name, array in changes.items():
            if array is None:
                del self.values[name]
            else:
                self.values[name] = array

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def read(self, name: str) -> Array:
        """The value of the variable `name`."""
        return self.values[name]
