"""A frozen detector of whatever exporter -> the graph `flatshot.export` would have given.

The network between preprocessing and post-processing stays as it is; what stood around it becomes
an input, anchors, and the settings of one post-processing operator.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatshot.compiler.frozen.decoding import (
    Decoding,
    find_decoding,
    find_encodings,
    read_anchors,
    read_scales,
)
from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.folding import rename, renamed, settle
from flatshot.compiler.frozen.preprocessing import NetworkInput, find_input
from flatshot.compiler.frozen.rewriting import rewrite
from flatshot.compiler.frozen.scores import Scores, find_scores
from flatshot.compiler.frozen.suppression import Suppression, read_suppression
from flatshot.compiler.frozen.wiring import Wiring, constant_node
from flatshot.compiler.ir import Dims, Value
from flatshot.errors import ConfigError, GraphError
from flatshot.formats.custom_options import Option
from flatshot.formats.detector_graph import (
    ANCHORS,
    BOX_ENCODINGS,
    CLASS_PREDICTIONS,
    INPUT,
    POSTPROCESS,
)
from flatshot.formats.graphdef import Array, Attr, DataType, Graph, Node, Shape, parse_tensor
from flatshot.formats.normalization import ATTRIBUTE, write_normalization
from flatshot.formats.pipeline import Pipeline
from flatshot.formats.postprocess import checked

_log = logging.getLogger("flatshot")

# The defaults of `object_detection/protos/post_processing.proto`, where neither graph nor
# configuration says anything; the score threshold is what exporters are usually given.
_DEFAULT_SCORE, _DEFAULT_IOU, _DEFAULT_COUNT = 1e-8, 0.6, 100


@dataclass(frozen=True)
class Anatomy:
    """What a frozen detector is made of.

    Attributes:
        network_input: where the network begins and what was before it.
        input_shape: (1, height, width, channels) of the static input.
        encodings: the tensor of all box encodings.
        count: how many boxes there are.
        scores: the tensor of the class predictions.
        decoding: where boxes are decoded.
        scales: of the box coder: y, x, height, width.
        suppression: the settings of the graph's own post-processing; None where it has none.
        anchors: (count, 4) float32: centre y, centre x, height, width.
    """

    network_input: NetworkInput
    input_shape: tuple[int, int, int, int]
    encodings: str
    count: int
    scores: Scores
    decoding: Decoding
    scales: tuple[float, float, float, float]
    suppression: Suppression | None
    anchors: Array


def cut_frozen(
    graph: Graph,
    pipeline: Pipeline | None = None,
    input_shape: Sequence[int] | None = None,
    settings: Mapping[str, Option] | None = None,
) -> Graph:
    """The detector in a frozen graph, between its preprocessing and its post-processing.

    What is found is found by structure: boxes by the arithmetic of their decoding, class
    predictions by what the class predictors come together in, the input as what the first
    convolution reads. Shapes become static, and what is computed with them constant.

    Args:
        graph: what `export_inference_graph.py` and its like give.
        pipeline: the configuration, which settles the size of the input and what the graph's
            post-processing does not say.
        input_shape: (1, height, width, channels); goes before everything else.
        settings: of the post-processing operator, that go before the graph's own; by option key
            or keyword.

    Returns:
        A graph with the input `normalized_input_image_tensor`, `raw_outputs/box_encodings`,
        `raw_outputs/class_predictions`, `anchors` and `TFLite_Detection_PostProcess`. Where the
        graph's normalisation is not 2/255 x - 1, the input has it as the attribute
        `flatshot.normalization`.

    Raises:
        ConfigError: a setting is none or out of range; the input shape is none of an image.
        GraphError: nodes are missing, wait for each other, or shapes do not fit.
        UnsupportedError: it is no single-shot detector; the message says why, and where.
    """
    changes = checked(settings or {})
    plain = rewrite(graph)
    anatomy, evaluation = _dissect(plain, pipeline, input_shape)
    _report(anatomy)
    begin = anatomy.network_input.tensor
    heads = [anatomy.encodings, anatomy.scores.tensor]
    network = settle(plain, evaluation, [begin], heads)
    # Names that are interfaces go to what they mean; a node of the graph called so gives way.
    given = (BOX_ENCODINGS, CLASS_PREDICTIONS, ANCHORS, INPUT, POSTPROCESS)
    names = {name: f"{name}/of_the_graph" for name in given if name in plain.by_name}
    names[begin] = INPUT
    attrs = postprocess_attrs(anatomy, pipeline) | changes
    ends = _ends(anatomy, attrs, evaluation, names)
    return Graph((_input_node(anatomy), *renamed(network, names), *ends))


def dissect(
    graph: Graph, pipeline: Pipeline | None = None, input_shape: Sequence[int] | None = None
) -> Anatomy:
    """What the frozen detector `graph` is made of; for arguments and errors see `cut_frozen`."""
    return _dissect(rewrite(graph), pipeline, input_shape)[0]


def _dissect(
    graph: Graph, pipeline: Pipeline | None, input_shape: Sequence[int] | None
) -> tuple[Anatomy, Evaluation]:
    wiring = Wiring(graph)
    decoding = find_decoding(wiring)
    network_input = find_input(wiring, wiring.ancestors([decoding.parts.name]))
    shape = _input_shape(network_input, pipeline, input_shape, _channels(wiring, network_input))
    evaluation = Evaluation(graph, _fed(wiring, network_input.tensor, shape))
    encodings, count = find_encodings(wiring, decoding.parts, evaluation)
    scores = find_scores(wiring, encodings, evaluation, count)
    anatomy = Anatomy(
        network_input=network_input,
        input_shape=shape,
        encodings=encodings,
        count=count,
        scores=scores,
        decoding=decoding,
        scales=read_scales(decoding, evaluation, count),
        suppression=read_suppression(wiring, scores.tensor),
        anchors=read_anchors(decoding, evaluation, count),
    )
    return anatomy, evaluation


def _fed(wiring: Wiring, tensor: str, shape: Dims) -> dict[str, Value]:
    """The input of the network, and one image of any size before it where shapes are asked for."""
    fed = {tensor: Value(tensor, shape, np.dtype(np.float32))}
    for node in wiring.nodes_of("Placeholder"):
        fed.setdefault(node.name, Value(node.name, shape, np.dtype(np.float32)))
    return fed


def _channels(wiring: Wiring, network_input: NetworkInput) -> int:
    """How many channels the first convolution's filter is for."""
    constant = Evaluation(wiring.graph, {}).constant
    behind = wiring.descendants([parse_tensor(network_input.tensor).node])
    for node in wiring.nodes_of("Conv2D", "DepthwiseConv2dNative"):
        if node.name in behind:
            filter_ = constant(node.data_inputs[1])
            if filter_ is not None and filter_.ndim == 4:
                return int(filter_.shape[2])
    return 3


def _input_shape(
    network_input: NetworkInput,
    pipeline: Pipeline | None,
    given: Sequence[int] | None,
    channels: int,
) -> tuple[int, int, int, int]:
    if given is not None:
        if len(given) != 4 or given[0] != 1 or min(given) < 1:
            raise ConfigError(f"the input shape {list(given)}: write 1, height, width, channels")
        return 1, int(given[1]), int(given[2]), int(given[3])
    size = _configured_size(pipeline) or network_input.size
    if size is None:
        raise GraphError(
            f"the size of the input {network_input.tensor!r} is not known: give it with "
            "--input_shapes, for one 1,300,300,3, or the configuration with --pipeline_config_path"
        )
    return 1, *size, channels


def _configured_size(pipeline: Pipeline | None) -> tuple[int, int] | None:
    if pipeline is None or pipeline.model.WhichOneof("model") != "ssd":
        return None
    resizer = pipeline.model.ssd.image_resizer
    if resizer.WhichOneof("image_resizer_oneof") != "fixed_shape_resizer":
        return None
    return resizer.fixed_shape_resizer.height, resizer.fixed_shape_resizer.width


# --- the new graph ------------------------------------------------------------------------------


def _input_node(anatomy: Anatomy) -> Node:
    attrs: dict[str, Attr] = {"dtype": DataType.DT_FLOAT, "shape": Shape(anatomy.input_shape)}
    normalisation = anatomy.network_input.normalisation
    if normalisation is not None and not normalisation.is_standard:
        record = write_normalization(normalisation.scale, normalisation.offset)
        attrs[ATTRIBUTE] = record
    return Node(INPUT, "Placeholder", (), attrs)


def _ends(
    anatomy: Anatomy,
    attrs: Mapping[str, Attr],
    evaluation: Evaluation,
    names: Mapping[str, str],
) -> list[Node]:
    """The raw outputs in their shapes, the anchors and the post-processing operator."""
    nodes = []
    for name, tensor, last in (
        (BOX_ENCODINGS, anatomy.encodings, 4),
        (CLASS_PREDICTIONS, anatomy.scores.tensor, anatomy.scores.columns),
    ):
        shape = (1, anatomy.count, last)
        head = rename(tensor, names)
        if evaluation.value(tensor).dims == shape:
            nodes.append(Node(name, "Identity", (head,), {"T": DataType.DT_FLOAT}))
            continue
        nodes += [
            constant_node(f"{name}/shape", np.array(shape, np.int32)),
            Node(name, "Reshape", (head, f"{name}/shape"), {"T": DataType.DT_FLOAT}),
        ]
    inputs = (BOX_ENCODINGS, CLASS_PREDICTIONS, ANCHORS)
    post = Node(POSTPROCESS, POSTPROCESS, inputs, attrs)
    return [*nodes, constant_node(ANCHORS, anatomy.anchors), post]


# --- settings -----------------------------------------------------------------------------------


def postprocess_attrs(anatomy: Anatomy, pipeline: Pipeline | None = None) -> dict[str, Attr]:
    """The attributes of `TFLite_Detection_PostProcess`: the graph's own, else the configuration's.

    What neither says is a default, which a notice tells.
    """
    y_scale, x_scale, h_scale, w_scale = anatomy.scales
    own = anatomy.suppression or Suppression()
    nms = _configured_nms(pipeline)
    per_class = _choose("max_detections_per_class", own.per_class, nms, _DEFAULT_COUNT)
    background = anatomy.scores.background
    if background is None:
        _log.warning(
            "the graph does not say whether column 0 of the classes is the background: "
            "it is taken for it"
        )
    return {
        "_output_quantized": True,
        "_output_types": [DataType.DT_FLOAT] * 4,
        "_support_output_type_float_in_quantized_op": True,
        "max_detections": _choose("max_total_detections", own.total, nms, per_class),
        "max_classes_per_detection": 1,
        "detections_per_class": per_class,
        # The API's own suppression goes class by class.
        "use_regular_nms": anatomy.suppression is not None,
        "nms_score_threshold": _choose("score_threshold", own.score_threshold, nms, _DEFAULT_SCORE),
        "nms_iou_threshold": _choose("iou_threshold", own.iou_threshold, nms, _DEFAULT_IOU),
        "num_classes": anatomy.scores.columns - (background is not False),
        "y_scale": y_scale,
        "x_scale": x_scale,
        "h_scale": h_scale,
        "w_scale": w_scale,
    }


def _configured_nms(pipeline: Pipeline | None) -> Any:
    if pipeline is None or pipeline.model.WhichOneof("model") != "ssd":
        return None
    return pipeline.model.ssd.post_processing.batch_non_max_suppression


def _choose(name: str, own: Any, configured: Any, default: Any) -> Any:
    if own is not None:
        return own
    if configured is not None:
        return getattr(configured, name)
    _log.warning("neither graph nor configuration gives a %s: it is %g", name, default)
    return default


def _report(anatomy: Anatomy) -> None:
    network_input = anatomy.network_input
    _, height, width, _ = anatomy.input_shape
    converter = anatomy.scores.converter or "none"
    _log.info(
        "the network begins at %s, %d x %d pixels; boxes at %s, classes at %s (score converter: "
        "%s, %d columns), %d anchors",
        network_input.tensor,
        height,
        width,
        anatomy.encodings,
        anatomy.scores.tensor,
        converter,
        anatomy.scores.columns,
        anatomy.count,
    )
    normalisation = network_input.normalisation
    if normalisation is None:
        _log.warning("the graph has no preprocessing: its input is taken for 2/255 x - 1")
    elif normalisation.is_standard:
        _log.info("normalisation: 2/255 x - 1")
    else:
        _log.warning("normalisation: %s, kept in the model's metadata", normalisation)
