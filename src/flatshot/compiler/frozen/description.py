"""A frozen detector in words: what `flatshot inspect` shows of it."""

import re
from collections import Counter
from collections.abc import Mapping

from flatshot.compiler.frozen.cut import Anatomy
from flatshot.compiler.frozen.suppression import Suppression
from flatshot.formats.graphdef import Graph

_BACKBONES = re.compile(
    r"(mobile_?net_?(?:v\d)?|inception_?(?:v\d)?|resnet_?(?:v\d)?(?:_\d+)?|efficientnet_?\w\d)",
    re.IGNORECASE,
)


def describe(graph: Graph, anatomy: Anatomy) -> Mapping[str, str]:
    """Lines on the detector `graph` by their titles."""
    network_input, scores = anatomy.network_input, anatomy.scores
    _, height, width, channels = anatomy.input_shape
    background = {True: ", column 0 the background", False: ", no background", None: ""}
    normalisation = network_input.normalisation
    return {
        "detector": "single-shot, with preprocessing and post-processing of its own",
        "feature extractor": feature_extractor(graph),
        "classes": str(scores.columns - (scores.background is not False)),
        "network input": f"{network_input.tensor}, {height} x {width}, {channels} channels",
        "normalisation": "none found" if normalisation is None else str(normalisation),
        "box encodings": anatomy.encodings,
        "class predictions": f"{scores.tensor}, {scores.columns} columns"
        + background[scores.background],
        "score converter": scores.converter or "none",
        "anchors": str(anatomy.count),
        "box coder": "y, x, height, width scales "
        + ", ".join(f"{scale:g}" for scale in anatomy.scales),
        "suppression": _suppression(anatomy.suppression),
    }


def feature_extractor(graph: Graph) -> str:
    """What the names of the convolutions say of the backbone, for names are all that says it."""
    names = [node.name for node in graph if node.op in ("Conv2D", "DepthwiseConv2dNative")]
    found = Counter(match[1] for name in names if (match := _BACKBONES.search(name)))
    if not found:
        return "not to be told from names"
    extras = []
    if any(re.search("fpn|top_down", name, re.IGNORECASE) for name in names):
        extras.append("feature pyramid")
    if any("Predictor_depthwise" in name for name in names):
        extras.append("SSDLite predictors")
    ((name, _),) = found.most_common(1)
    return ", ".join([name, *extras])


def _suppression(suppression: Suppression | None) -> str:
    if suppression is None:
        return "none in the graph"
    values = (
        ("score threshold", suppression.score_threshold),
        ("IoU threshold", suppression.iou_threshold),
        ("a class", suppression.per_class),
        ("in all", suppression.total),
    )
    return ", ".join(f"{name} {value:g}" for name, value in values if value is not None)
