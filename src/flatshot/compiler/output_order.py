"""The outputs of a detector in the order and under the names of TensorFlow 2's road.

`export_tflite_graph_tf2.py` hands out (count, scores, classes, boxes) as `output_0` to `output_3`;
its converter since TensorFlow 2.6 lets the file list them as scores, boxes, count, classes.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from flatshot.compiler.compile import Model
from flatshot.errors import ConfigError
from flatshot.formats import tflite
from flatshot.formats.detector_graph import POSTPROCESS_OUTPUTS

SIGNATURE = "serving_default"
_BOXES, _CLASSES, _SCORES, _COUNT = POSTPROCESS_OUTPUTS
_NAMED = {"output_0": _COUNT, "output_1": _SCORES, "output_2": _CLASSES, "output_3": _BOXES}
_LISTED = (_SCORES, _BOXES, _COUNT, _CLASSES)


OutputOrder = Literal["tf1", "tf2"]


def in_order(model: Model, order: OutputOrder) -> Model:
    """`model` with its four detections as TensorFlow 1's road gives them, or as TensorFlow 2's.

    Raises:
        ConfigError: it does not end in the post-processing operator.
    """
    if order == "tf1":
        return model
    graph = model.tflite.subgraphs[0]
    number = {
        graph.tensors[index].name: index
        for index in tflite.indices(graph.outputs)
        if graph.tensors[index].name in POSTPROCESS_OUTPUTS
    }
    if len(number) != len(POSTPROCESS_OUTPUTS) or len(tflite.indices(graph.inputs)) != 1:
        raise ConfigError(
            "the order of TensorFlow 2 is one of detections: the model ends in the raw outputs"
        )
    (image,) = tflite.indices(graph.inputs)
    signature = tflite.SignatureDef(
        inputs=[tflite.TensorMap("input", image)],
        outputs=[tflite.TensorMap(name, number[tensor]) for name, tensor in _NAMED.items()],
        signature_key=SIGNATURE,
    )
    outputs = np.array([number[name] for name in _LISTED], np.int32)
    ordered = replace(graph, outputs=outputs)
    return replace(
        model, tflite=replace(model.tflite, subgraphs=[ordered], signature_defs=[signature])
    )
