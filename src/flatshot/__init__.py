"""Flatshot: single-shot detectors to TensorFlow Lite, and how good and fast they are.

    graph = flatshot.export("ssd_mobilenet_v1_coco/", use_regular_nms=True, max_detections=100)
    model = flatshot.convert(graph)
    detector = flatshot.Detector(model, score_threshold=0.3)
    found = detector("street.jpg")

Names are loaded on first use, so that `import flatshot` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flatshot.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from flatshot.compiler.compile import Model
    from flatshot.conversion.convert import convert
    from flatshot.errors import FlatshotError
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.evaluate import evaluate
    from flatshot.evaluation.result import Result
    from flatshot.formats.checkpoint import Checkpoint, write_checkpoint
    from flatshot.formats.graph_files import load_graph
    from flatshot.formats.graphdef import Graph
    from flatshot.formats.postprocess import PostProcessSettings
    from flatshot.inspection.inspect import Inspection, inspect
    from flatshot.models.export import export
    from flatshot.records.store import Records
    from flatshot.runtime.comparison import Comparison, compare
    from flatshot.runtime.detections import Detections
    from flatshot.runtime.detector import Detector
    from flatshot.runtime.quantize import quantize

__all__ = [
    "Checkpoint",
    "CocoDataset",
    "Comparison",
    "Detections",
    "Detector",
    "FlatshotError",
    "Graph",
    "Inspection",
    "Model",
    "PostProcessSettings",
    "Records",
    "Result",
    "__version__",
    "compare",
    "convert",
    "evaluate",
    "export",
    "inspect",
    "load_graph",
    "quantize",
    "write_checkpoint",
]

_HOMES = {
    "Checkpoint": "flatshot.formats.checkpoint",
    "CocoDataset": "flatshot.evaluation.dataset",
    "Comparison": "flatshot.runtime.comparison",
    "Detections": "flatshot.runtime.detections",
    "Detector": "flatshot.runtime.detector",
    "FlatshotError": "flatshot.errors",
    "Graph": "flatshot.formats.graphdef",
    "Inspection": "flatshot.inspection.inspect",
    "Model": "flatshot.compiler.compile",
    "PostProcessSettings": "flatshot.formats.postprocess",
    "Records": "flatshot.records.store",
    "Result": "flatshot.evaluation.result",
    "compare": "flatshot.runtime.comparison",
    "convert": "flatshot.conversion.convert",
    "evaluate": "flatshot.evaluation.evaluate",
    "export": "flatshot.models.export",
    "inspect": "flatshot.inspection.inspect",
    "load_graph": "flatshot.formats.graph_files",
    "quantize": "flatshot.runtime.quantize",
    "write_checkpoint": "flatshot.formats.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flatshot' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
