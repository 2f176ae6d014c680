"""What a detector's graph is called by those who make it and those who compile it.

Sources: `object_detection/export_tflite_ssd_graph_lib.py` and TensorFlow Lite's kernel
`detection_postprocess.cc`, whose names these are.
"""

import dataclasses
from collections.abc import Mapping

from flatshot.errors import ConfigError
from flatshot.formats.custom_options import Option
from flatshot.formats.graphdef import Graph, TensorName
from flatshot.formats.postprocess import checked

INPUT = "normalized_input_image_tensor"
"""The image (1, height, width, channels) float32, normalised as the network was trained."""
BOX_ENCODINGS = "raw_outputs/box_encodings"
"""(1, n, 4) float32: what the box coder makes boxes of, with the anchors."""
CLASS_PREDICTIONS = "raw_outputs/class_predictions"
"""(1, n, columns) float32: scores, column 0 the background where there is one."""
RAW_OUTPUTS = (BOX_ENCODINGS, CLASS_PREDICTIONS)

ANCHORS = "anchors"
"""(n, 4) float32: centre y, centre x, height, width. A graph's constant; a cut model's metadata."""

POSTPROCESS = "TFLite_Detection_PostProcess"
"""The custom operator, its node in a graph, and the metadata of its options in a cut model."""
POSTPROCESS_COUNT = 4
"""Its outputs: boxes, classes, scores, number of detections."""
POSTPROCESS_OUTPUTS = tuple(str(TensorName(POSTPROCESS, k)) for k in range(POSTPROCESS_COUNT))


def is_exported(graph: Graph) -> bool:
    """Whether `graph` ends as those of `flatshot.export` and of its original do."""
    return POSTPROCESS in graph.by_name or all(name in graph.by_name for name in RAW_OUTPUTS)


def change_postprocess(graph: Graph, changes: Mapping[str, Option]) -> Graph:
    """`graph` with other settings of its post-processing operator.

    Args:
        graph: an exported one.
        changes: settings by option key or keyword, see `PostProcessSettings.override`.

    Raises:
        ConfigError: a name is no setting, a value is out of range, or the graph has no operator to
            be set.
    """
    options = checked(changes)
    if not options:
        return graph
    if POSTPROCESS not in graph.by_name:
        raise ConfigError(
            f"the graph ends in {', '.join(RAW_OUTPUTS)} and has no {POSTPROCESS} that "
            f"{', '.join(options)} could be set of; export it with the operator"
        )
    return Graph(
        tuple(
            dataclasses.replace(node, attrs={**node.attrs, **options})
            if node.name == POSTPROCESS
            else node
            for node in graph
        )
    )
