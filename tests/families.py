"""The detectors of the real data whose variables follow from their names (`families/`)."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.formats.checkpoint import read_index
from flatshot.formats.graphdef import Attr, Graph
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph

FAMILIES = (
    "ssd_inception_v2",
    "ssd_mobilenet_v1",
    "ssd_mobilenet_v1_fpn",
    "ssd_mobilenet_v1_ppn",
    "ssd_mobilenet_v2",
    "ssd_resnet50_v1_fpn",
    "ssdlite_mobiledet_cpu",
    "ssdlite_mobilenet_edgetpu",
    "ssdlite_mobilenet_v2",
    "ssdlite_mobilenet_v3_large",
)
# The options with which the official tools made what lies in `families/`.
POSTPROCESS: dict[str, Attr] = {"max_detections": 100, "use_regular_nms": True}


class Variables:
    """The variables of an `.index` file with the values of the rule; keeps who was asked for."""

    def __init__(self, index: Path, rule: Path) -> None:
        spec = importlib.util.spec_from_file_location("values", rule)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._value = module.value
        self.shapes = {name: v.shape for name, v in read_index(index.read_bytes())[1].items()}
        self.read_names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def read(self, name: str) -> npt.NDArray[Any]:
        """The value of the variable `name`."""
        self.read_names.add(name)
        return np.asarray(self._value(name, self.shapes[name]))


def variables(data: Path, family: str) -> Variables:
    """The variables of `family`."""
    folder = data / "families"
    return Variables(folder / family / "model.ckpt.index", folder / "values.py")


def build(data: Path, family: str, source: Variables | None = None) -> Graph:
    """The graph of `family`, with the post-processing operator."""
    config = read_config(load_pipeline(data / "families" / family / "pipeline.config"))
    attrs: dict[str, Attr] = {"num_classes": config.num_classes, **POSTPROCESS}
    return build_graph(config, source or variables(data, family), attrs)
