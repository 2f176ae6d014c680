"""The SavedModel that `export_tflite_graph_tf2.py` leaves -> the graph `export` would have given.

Its post-processing is the operator already, under the name of the call that it stood for; only the
names are missing that everything else knows a detector's parts by. How pixels are normalised it
does not say at all: that is for whoever feeds it. Source: `export_tflite_graph_lib_tf2.py`.
"""

import logging
import re

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.folding import rename, renamed
from flatshot.compiler.frozen.rewriting import rewrite
from flatshot.compiler.frozen.wiring import Wiring, constant_node
from flatshot.errors import UnsupportedError
from flatshot.formats.detector_graph import ANCHORS, INPUT, POSTPROCESS, RAW_OUTPUTS
from flatshot.formats.graphdef import FLOAT, Attr, Graph, Node
from flatshot.formats.normalization import ATTRIBUTE, write_normalization

_log = logging.getLogger("flatshot")

# What the preprocessing of the Object Detection API does to pixels, by what the names of a network
# say: `models/ssd_resnet_v1_fpn_keras_feature_extractor.py` takes ImageNet's means away,
# `ssd_efficientnet_bifpn_feature_extractor.py` divides by its deviations as well; all others give
# 2/255 x - 1.
_MEANS = np.array([0.485, 0.456, 0.406])
_DEVIATIONS = np.array([0.229, 0.224, 0.225])
_PIXELS = (
    (re.compile("efficientnet|efficientdet", re.I), 1 / 255 / _DEVIATIONS, -_MEANS / _DEVIATIONS),
    (re.compile("resnet", re.I), np.ones(3), -np.array([123.68, 116.779, 103.939])),
)


def name_parts(graph: Graph) -> Graph:
    """`graph` with the names of a detector's parts, if it ends in the operator under another name.

    Raises:
        UnsupportedError: the operator's inputs are none of a detector.
    """
    found = [node for node in graph if node.op == POSTPROCESS]
    if len(found) != 1 or found[0].name == POSTPROCESS:
        return graph
    plain = rewrite(graph)
    wiring = Wiring(plain)
    (operator,) = wiring.nodes_of(POSTPROCESS)
    if len(operator.data_inputs) != 3:
        raise UnsupportedError(f"{POSTPROCESS} {operator.name!r} does not have three inputs")
    *heads, tensor = operator.data_inputs
    anchors = Evaluation(plain, {}).value(tensor).data
    if anchors is None or anchors.ndim != 2 or anchors.shape[1] != 4:
        raise UnsupportedError(f"the anchors {tensor!r} of {POSTPROCESS} are no constant of [n, 4]")
    needed = wiring.ancestors(heads)
    network = [node for node in plain if node.name in needed]
    images = [node for node in network if node.op == "Placeholder"]
    if len(images) != 1:
        raise UnsupportedError(f"the detector has {len(images)} inputs, not one image")
    names = {name: f"{name}/of_the_graph" for name in (*RAW_OUTPUTS, ANCHORS, INPUT)}
    names[images[0].name] = INPUT
    image = Node(INPUT, "Placeholder", (), {**images[0].attrs, **_pixels(network)})
    inside = renamed([node for node in network if node is not images[0]], names)
    ends = [
        Node(name, "Identity", (rename(head, names),), FLOAT)
        for name, head in zip(RAW_OUTPUTS, heads, strict=True)
    ]
    post = Node(POSTPROCESS, POSTPROCESS, (*RAW_OUTPUTS, ANCHORS), operator.attrs)
    return Graph((image, *inside, *ends, constant_node(ANCHORS, anchors.astype(np.float32)), post))


def _pixels(network: list[Node]) -> dict[str, Attr]:
    """How pixels are normalised, as the names of the convolutions suggest."""
    names = [node.name for node in network if node.op in ("Conv2D", "DepthwiseConv2dNative")]
    for pattern, scale, offset in _PIXELS:
        found = next((match[0] for name in names if (match := pattern.search(name))), None)
        if found is not None:
            _log.warning(
                "the graph does not say how its pixels are normalised; its layers are called %s, "
                "so they are taken as that network's, which the model's metadata keep",
                found,
            )
            return {ATTRIBUTE: write_normalization(scale.tolist(), offset.tolist())}
    _log.warning(
        "the graph does not say how its pixels are normalised: its input is taken for 2/255 x - 1"
    )
    return {}
