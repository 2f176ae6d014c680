"""Names of arrays that mean the whole detector, as people copy them from one another."""

from collections.abc import Sequence

from flatshot.errors import ConfigError
from flatshot.formats.detector_graph import INPUT, POSTPROCESS
from flatshot.formats.graphdef import Graph, parse_tensor

# What exporters of the Object Detection API, and those who wrote of them, call the ends.
_OUTPUTS = {
    *("detection_boxes", "detection_scores", "detection_classes", "num_detections"),
    *("detection_multiclass_scores", "detection_features", "detection_masks"),
    *("detection_anchor_indices", "raw_detection_boxes", "raw_detection_scores"),
    *(POSTPROCESS, "StatefulPartitionedCall", "PartitionedCall"),
}
_INPUTS = {
    *("image_tensor", "input_tensor", "ToFloat", "Cast", "encoded_image_string_tensor"),
    *("serving_default_input_tensor", "tf_example", "input", "inputs", INPUT),
}
_PREPROCESSOR = "Preprocessor/"
_ADVICE = "leave input_arrays and output_arrays (--input_arrays, --output_arrays) out"


def mean_whole_detector(
    graph: Graph, input_arrays: Sequence[str], output_arrays: Sequence[str]
) -> bool:
    """Whether the arrays name a detector's own ends, between which it is cut without them.

    Names that the graph lacks count too: they are copied from other graphs.

    Raises:
        ConfigError: the outputs are those of the whole detector, and the inputs lie within it; or
            the other way round. Only part of it can be converted so, and none that runs.
    """
    placeholders = {node.name for node in graph if node.op == "Placeholder"}
    inputs = {parse_tensor(name).node for name in input_arrays}
    outputs = {parse_tensor(name).node for name in output_arrays}
    first = all(name in _INPUTS | placeholders or name.startswith(_PREPROCESSOR) for name in inputs)
    last = bool(outputs) and outputs <= _OUTPUTS
    if last and not first:
        within = sorted(inputs - _INPUTS - placeholders)
        raise ConfigError(
            f"the outputs {', '.join(sorted(outputs))} are those of the whole detector, and the "
            f"input {', '.join(within)} lies within it: {_ADVICE}"
        )
    usual = {name for name in inputs if name in _INPUTS or name.startswith(_PREPROCESSOR)}
    return last or (not outputs and bool(inputs) and usual == inputs)
