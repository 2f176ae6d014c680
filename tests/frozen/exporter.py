"""What `export_inference_graph.py` and its like make of a detector: all that the cut takes away.

The network is that of `flatshot.export`; around it come an image of bytes and of any size, resizing
(in a loop over the batch, if wanted), normalisation, reshapes to a batch known only at run time,
decoding of boxes, and suppression. Variants are those that optimisers leave.
"""

from dataclasses import dataclass

import numpy as np

from flatshot.formats.detector_graph import (
    ANCHORS,
    BOX_ENCODINGS,
    CLASS_PREDICTIONS,
    INPUT,
    POSTPROCESS,
)
from flatshot.formats.graphdef import Array, DataType, Graph, Node, Shape
from tests.compiler.graphs import const
from tests.compiler.graphs import node as make

PRE, POST = "Preprocessor", "Postprocessor"


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a detector was exported.

    Attributes:
        normalisation: scale and offset; None leaves the arithmetic out.
        resize: whether the graph resizes at all.
        loop: resize each image of the batch in a loop.
        division: "divide" encodings by the scales, "multiply" with the inverse, or have the
            scales "merged" into constants that come from the anchors.
        parts: the operator that takes encodings apart.
        background: whether column 0 is left out.
        suppression: the operator that suppresses; empty for none.
        size: height and width.
    """

    normalisation: tuple[float, float] | None = (2 / 255, -1.0)
    resize: bool = True
    loop: bool = False
    division: str = "divide"
    parts: str = "Unpack"
    background: bool = True
    suppression: str = "NonMaxSuppressionV3"
    size: tuple[int, int] = (96, 96)


def freeze(exported: Graph, style: Style) -> Graph:
    """The detector `exported` as another exporter would have frozen it."""
    anchors = exported.by_name[ANCHORS].attrs["value"]
    assert isinstance(anchors, np.ndarray)
    nodes = [*_preprocessing(style), *_network(exported), *_decoding(anchors, style)]
    nodes += _scores(style)
    if style.suppression:
        nodes += _suppression(style)
    return Graph(tuple(nodes))


def scramble(graph: Graph) -> Graph:
    """`graph` with names that say nothing."""
    names = {node.name: f"n{number:04d}" for number, node in enumerate(graph)}

    def rename(text: str) -> str:
        name, colon, number = text.rpartition(":")
        return names[text] if not colon else f"{names[name]}:{number}"

    return Graph(
        tuple(
            Node(names[node.name], node.op, tuple(map(rename, node.inputs)), node.attrs)
            for node in graph
        )
    )


def _preprocessing(style: Style) -> list[Node]:
    image = make(
        "image_tensor", "Placeholder", dtype=DataType.DT_UINT8, shape=Shape((-1, -1, -1, 3))
    )
    nodes = [image, make("ToFloat", "Cast", "image_tensor", DstT=DataType.DT_FLOAT)]
    last = "ToFloat"
    if style.resize:
        size = const(f"{PRE}/size", list(style.size))
        resize = [*_loop(), size] if style.loop else [
            size, make(f"{PRE}/resized", "ResizeBilinear", last, size.name)
        ]  # fmt: skip
        nodes += resize
        last = f"{PRE}/resized"
    if style.normalisation is not None:
        scale, offset = style.normalisation
        nodes += [
            const(f"{PRE}/mul/x", scale),
            make(f"{PRE}/mul", "Mul", f"{PRE}/mul/x", last),
            const(f"{PRE}/sub/y", -offset),
            make(f"{PRE}/sub", "Sub", f"{PRE}/mul", f"{PRE}/sub/y"),
        ]
        last = f"{PRE}/sub"
    return [*nodes, make("FeatureExtractor/image", "Identity", last)]


def _loop() -> list[Node]:
    """Resize image by image: a loop comes back to its beginning, and that is no mistake."""
    return [
        const("zero", 0),
        const("one", 1),
        make("frames", "TensorArrayV3", "one"),
        make("images", "TensorArrayScatterV3", "frames", "zero", "ToFloat", "frames:1"),
        make("enter", "Enter", "zero"),
        make("merge", "Merge", "enter", "next"),
        make("less", "Less", "merge", "one"),
        make("condition", "LoopCond", "less"),
        make("switch", "Switch", "merge", "condition"),
        make("number", "Identity", "switch:1"),
        make("plus", "Add", "number", "one"),
        make("next", "NextIteration", "plus"),
        make("image", "TensorArrayReadV3", "frames", "number", "images"),
        make("batch", "ExpandDims", "image", "zero"),
        make("resize", "ResizeBilinear", "batch", f"{PRE}/size"),
        make("one_image", "Squeeze", "resize", squeeze_dims=[0]),
        make("write", "TensorArrayWriteV3", "frames", "number", "one_image", "images"),
        make("exit", "Exit", "switch"),
        make(f"{PRE}/resized", "TensorArrayGatherV3", "frames", "exit", "write"),
    ]


def _network(exported: Graph) -> list[Node]:
    nodes = []
    for node in exported:
        if node.name in (INPUT, ANCHORS, BOX_ENCODINGS, CLASS_PREDICTIONS, POSTPROCESS):
            continue
        inputs = tuple("FeatureExtractor/image" if text == INPUT else text for text in node.inputs)
        if node.op == "Reshape":
            nodes += _batch_shape(node, exported)
            inputs = (inputs[0], f"{node.name}/stack")
        nodes.append(Node(node.name, node.op, inputs, node.attrs))
    return nodes


def _batch_shape(node: Node, exported: Graph) -> list[Node]:
    """The shape of a reshape, with the batch from the image that comes in."""
    shape = exported.by_name[node.inputs[1]].attrs["value"]
    assert isinstance(shape, np.ndarray)
    name = node.name
    sides = [const(f"{name}/stack/{number}", int(shape[number])) for number in range(1, len(shape))]
    return [
        make(f"{name}/Shape", "Shape", node.inputs[0]),
        const(f"{name}/first", [0]),
        const(f"{name}/second", [1]),
        make(
            f"{name}/batch",
            "StridedSlice",
            f"{name}/Shape",
            f"{name}/first",
            f"{name}/second",
            f"{name}/second",
            shrink_axis_mask=1,
        ),
        *sides,
        make(f"{name}/stack", "Pack", f"{name}/batch", *(side.name for side in sides)),
    ]


def _decoding(anchors: Array, style: Style) -> list[Node]:
    flat = f"{POST}/flat"
    nodes = [
        const(f"{flat}/shape", [-1, 4]),
        make(flat, "Reshape", "Squeeze", f"{flat}/shape"),
        const("perm", [1, 0]),
        make(f"{POST}/transposed", "Transpose", flat, "perm"),
    ]
    if style.parts == "Split":
        nodes += [
            const("axis", 0),
            make("parts", "Split", "axis", f"{POST}/transposed", num_split=4),
            *(make(f"t{k}", "Squeeze", f"parts:{k}", squeeze_dims=[0]) for k in range(4)),
        ]
    else:
        nodes.append(make("parts", "Unpack", f"{POST}/transposed", num=4))
        nodes += [make(f"t{k}", "Identity", f"parts:{k}" if k else "parts") for k in range(4)]
    nodes += _anchor_columns(anchors, style)
    scales = (10.0, 10.0, 5.0, 5.0)
    for k, scale in enumerate(scales):
        nodes += _scaled(k, scale, style)
    for side, centre, span, half in (("y", "a0", "p0", "h2"), ("x", "a1", "p1", "h3")):
        k = 0 if side == "y" else 1
        nodes += [
            make(f"{side}/mul", "Mul", f"s{k}", span),
            make(f"{side}/centre", "Add", f"{side}/mul", centre),
            make(f"{side}/exp", "Exp", f"s{k + 2}"),
            make(f"{side}/half", "Mul", half, f"{side}/exp"),
            make(f"{side}/low", "Sub", f"{side}/centre", f"{side}/half"),
            make(f"{side}/high", "Add", f"{side}/centre", f"{side}/half"),
        ]
    nodes.append(make("boxes", "Pack", "y/low", "x/low", "y/high", "x/high", axis=1))
    return nodes


def _anchor_columns(anchors: Array, style: Style) -> list[Node]:
    """Centres (a0, a1), what centres move by (p0, p1) and half sizes (h2, h3)."""
    half = anchors[:, 2:] / 2
    if style.division == "merged":
        return [
            *(const(f"a{k}", anchors[:, k]) for k in (0, 1)),
            *(const(f"p{k}", anchors[:, k + 2] / np.float32(10)) for k in (0, 1)),
            *(const(f"h{k}", half[:, k - 2]) for k in (2, 3)),
        ]
    corners = np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)
    return [
        const("anchors_in_graph", corners.T),
        make("corners", "Unpack", "anchors_in_graph", num=4),
        const("two", 2.0),
        *(
            part
            for k in (0, 1)
            for part in (
                make(f"p{k}", "Sub", f"corners:{k + 2}", f"corners:{k}" if k else "corners"),
                make(f"h{k + 2}", "RealDiv", f"p{k}", "two"),
                make(f"a{k}", "Add", f"corners:{k}" if k else "corners", f"h{k + 2}"),
            )
        ),
    ]


def _scaled(k: int, scale: float, style: Style) -> list[Node]:
    if style.division == "merged" and k < 2:
        return [make(f"s{k}", "Identity", f"t{k}")]
    if style.division == "divide":
        return [const(f"s{k}/y", scale), make(f"s{k}", "RealDiv", f"t{k}", f"s{k}/y")]
    return [const(f"s{k}/y", 1 / scale), make(f"s{k}", "Mul", f"t{k}", f"s{k}/y")]


def _scores(style: Style) -> list[Node]:
    scores = [make("raw_box_scores", "Identity", "convert_scores")]
    if not style.background:
        return [*scores, make("scores", "Identity", "raw_box_scores")]
    return [
        *scores,
        const("begin", [0, 0, 1]),
        const("size", [-1, -1, -1]),
        make("scores", "Slice", "raw_box_scores", "begin", "size"),
    ]


def _suppression(style: Style) -> list[Node]:
    """Of one class; at most 70 boxes of it and 90 in all."""
    nodes = [
        const("class/begin", [0, 0, 0]),
        const("class/size", [1, -1, 1]),
        make("class", "Slice", "scores", "class/begin", "class/size"),
        make("class/scores", "Squeeze", "class", squeeze_dims=[0, 2]),
        const("per_class", 70),
        make("count", "Size", "class/scores"),
        make("limit", "Minimum", "per_class", "count"),
        const("iou", 0.55),
        const("least", 0.25),
        const("sigma", 0.0),
    ]
    own = {"NonMaxSuppressionV2": [], "NonMaxSuppressionV5": ["least", "sigma"]}.get(
        style.suppression, ["least"]
    )
    scores = "class/scores"
    if not own:
        nodes.append(make("filter", "Greater", "class/scores", "least"))
        nodes.append(make("where", "Select", "filter", "class/scores", "class/scores"))
        scores = "where"
    return [
        *nodes,
        make("kept", style.suppression, "boxes", scores, "limit", "iou", *own),
        make("kept/count", "Size", "kept"),
        const("total", 90),
        make("clipped", "Minimum", "total", "kept/count"),
        make("num_detections", "Cast", "clipped", DstT=DataType.DT_FLOAT),
    ]
