"""How a graph makes boxes of box encodings and anchors, read from its arithmetic.

The box coder of Faster R-CNN, which all detectors of the API use, is four lines:

    centre_y = t_y / y_scale * anchor_h + anchor_y      height = exp(t_h / h_scale) * anchor_h
    centre_x = t_x / x_scale * anchor_w + anchor_x      width = exp(t_w / w_scale) * anchor_w

so two exponentials that read outputs 2 and 3 of one node that takes encodings apart give all of
it away: the encodings, the four scales, and the tensors that hold the anchors, whatever these are
computed from. Source: `object_detection/box_coders/faster_rcnn_box_coder.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.wiring import Wiring
from flatshot.errors import GraphError, UnsupportedError
from flatshot.formats.graphdef import Array, Node, parse_tensor

_PARTS = ("Unpack", "Split", "SplitV")
_SCALINGS = ("Mul", "RealDiv", "Div")
_RESHAPING = ("Transpose", "Reshape", "Squeeze", "ExpandDims", "Cast")
# Tensors, and whether each divides instead of multiplying.
Factors = tuple[tuple[str, bool], ...]
Constant = Callable[[str], Array | None]

_SECOND_STAGE = ("CropAndResize", "PSROIPool", "RoiPool", "ROIAlign")


@dataclass(frozen=True)
class Decoding:
    """Where boxes are decoded.

    Attributes:
        parts: the node whose four outputs are t_y, t_x, t_h and t_w.
        factors: what each of them is multiplied with.
        spans: the tensors that t_y and t_x are then multiplied with; optimisers merge the scale
            of the box coder into them.
        centres: the tensors of anchor_y and anchor_x.
        halves: the factors of the exponentials on the way from a centre to an edge: half of
            anchor_h and of anchor_w, in whatever order an optimiser has left the products.
    """

    parts: Node
    factors: tuple[float, float, float, float]
    spans: tuple[str, str]
    centres: tuple[str, str]
    halves: tuple[Factors, Factors]


@dataclass(frozen=True)
class _Term:
    """A number of the encodings, scaled: output `index` of `parts`, `factor` times."""

    parts: str
    index: int
    factor: float


def find_decoding(wiring: Wiring) -> Decoding:
    """The place in the graph where its boxes are decoded.

    Raises:
        UnsupportedError: there is none, or there are several: it is no single-shot detector.
    """
    for node in wiring.nodes_of(*_SECOND_STAGE):
        raise UnsupportedError(
            f"no single-shot detector: {node.op} {node.name!r} cuts regions out of a feature map, "
            "as the second stage of Faster R-CNN does; only one-stage detectors can be converted"
        )
    constant = Evaluation(wiring.graph, {}).constant
    found: dict[str, dict[int, tuple[Node, _Term]]] = {}
    for node in wiring.nodes_of("Exp"):
        term = _trace(wiring, node.data_inputs[0], constant)
        if term is not None:
            found.setdefault(term.parts, {})[term.index] = (node, term)
    coders = {name: terms for name, terms in found.items() if set(terms) == {2, 3}}
    if not coders:
        raise UnsupportedError(_no_boxes(wiring))
    if len(coders) > 1:
        raise UnsupportedError(
            "no single-shot detector: it decodes boxes at several places, "
            f"{', '.join(sorted(coders))}: a detector of two stages?"
        )
    (name, terms), *_ = coders.items()
    return _read_coder(wiring, wiring.graph.by_name[name], terms, constant)


def _no_boxes(wiring: Wiring) -> str:
    """Why the graph is no detector, with the node where that shows."""
    ends = [node for node in wiring.nodes_of("Softmax") if not wiring.readers.get(node.name)]
    ends += wiring.nodes_of("Softmax", "ArgMax")
    if ends:
        return (
            f"no detector: nothing in the graph decodes boxes, and {ends[0].op} "
            f"{ends[0].name!r} looks like a classifier's end"
        )
    loose = [node.name for node in wiring.graph if not wiring.readers.get(node.name)]
    return (
        "no detector: nothing in the graph decodes boxes (two exponentials of box encodings); "
        f"it ends in {loose[-1] if loose else 'nothing'!r}. If it gives raw encodings, name its "
        "outputs with --output_arrays"
    )


def _trace(wiring: Wiring, tensor: str, constant: Constant) -> _Term | None:
    """The number of the encodings that `tensor` is but for a constant factor."""
    factor = 1.0
    while True:
        tensor = wiring.source(tensor)
        node = wiring.node(tensor)
        if node.op in _PARTS:
            return _Term(node.name, parse_tensor(tensor).number, factor)
        if node.op in ("Squeeze", "Reshape"):
            tensor = node.data_inputs[0]
            continue
        if node.op not in _SCALINGS:
            return None
        step = _scaling(node, constant)
        if step is None:
            return None
        tensor, number = step
        factor *= number


def _scaling(node: Node, constant: Constant) -> tuple[str, float] | None:
    inputs = node.data_inputs
    for index in (1, 0) if node.op == "Mul" else (1,):
        data = constant(inputs[index])
        if data is not None and data.size == 1:
            number = float(data.reshape(()))
            if number:
                return inputs[1 - index], number if node.op == "Mul" else 1 / number
    return None


def _read_coder(
    wiring: Wiring, parts: Node, terms: dict[int, tuple[Node, _Term]], constant: Constant
) -> Decoding:
    """What is done to the four outputs of `parts`."""
    (row, span_y, factor_y), (column, span_x, factor_x) = (
        _centre_product(wiring, parts, index, constant) for index in (0, 1)
    )
    return Decoding(
        parts=parts,
        factors=(factor_y, factor_x, terms[2][1].factor, terms[3][1].factor),
        spans=(span_y, span_x),
        centres=(_partner(wiring, row, "Add", "AddV2"), _partner(wiring, column, "Add", "AddV2")),
        halves=(_edge_factors(wiring, terms[2][0]), _edge_factors(wiring, terms[3][0])),
    )


def _partner(wiring: Wiring, node: Node, *ops: str) -> str:
    """What the one reader of `node` among `ops` reads beside it."""
    readers = [reader for reader in wiring.readers.get(node.name, []) if reader.op in ops]
    if len(readers) != 1 or len(readers[0].data_inputs) != 2:
        raise _foreign(node)
    first, second = readers[0].data_inputs
    return second if parse_tensor(first).node == node.name else first


def _edge_factors(wiring: Wiring, exponential: Node) -> Factors:
    """The factors between an exponential and the edge that lies so far before the centre."""
    paths: list[tuple[Node, Factors]] = [(exponential, ())]
    while paths:
        node, factors = paths.pop(0)
        for reader in wiring.readers.get(node.name, []):
            inputs = reader.data_inputs
            first = parse_tensor(inputs[0]).node == node.name
            if reader.op == "Sub" and not first and factors:
                return factors
            # No coder needs more than a few products.
            if reader.op in _SCALINGS and len(inputs) == 2 and len(factors) < 8:
                divides = reader.op != "Mul"
                if first or not divides:
                    paths.append((reader, (*factors, (inputs[int(first)], divides))))
            elif reader.op == "Identity":
                paths.append((reader, factors))
    raise _foreign(exponential)


def _centre_product(
    wiring: Wiring, parts: Node, index: int, constant: Constant
) -> tuple[Node, str, float]:
    """The product of output `index` of `parts` with a tensor, that tensor, and the scale in it."""
    for node in wiring.nodes_of("Mul"):
        inputs = node.data_inputs
        for text, other in zip(inputs, reversed(inputs), strict=True):
            term = _trace(wiring, text, constant)
            if term is None or (term.parts, term.index) != (parts.name, index):
                continue
            data = constant(other)
            if data is None or data.size != 1:
                return node, other, term.factor
    raise _foreign(parts)


def _foreign(node: Node) -> UnsupportedError:
    return UnsupportedError(
        f"boxes are decoded at {node.name!r} in another way than faster_rcnn_box_coder's, which "
        "TFLite_Detection_PostProcess knows alone; end in the raw outputs with --output_arrays"
    )


def find_encodings(wiring: Wiring, parts: Node, evaluation: Evaluation) -> tuple[str, int]:
    """The tensor of all box encodings of one image, and how many they are.

    It is the one nearest to the place where it is taken apart that has the shape (1, N, 4), else
    the last one that holds the same numbers in the same order.
    """
    tensor = parts.data_inputs[1 if parts.op == "Split" else 0]
    total = _count(evaluation, tensor)
    best = tensor
    while True:
        dims = evaluation.value(tensor).dims
        if len(dims) == 3 and dims[0] == 1 and dims[2] == 4:
            return tensor, dims[1]
        node = wiring.node(tensor)
        best = tensor
        if node.op not in _RESHAPING and tensor == wiring.source(tensor):
            break
        tensor = node.data_inputs[0]
    if evaluation.value(best).dims[-1] != 4 or total % 4:
        raise _foreign(parts)
    return best, total // 4


def _count(evaluation: Evaluation, tensor: str) -> int:
    return int(np.prod(evaluation.value(tensor).dims, dtype=np.int64))


def read_anchors(decoding: Decoding, evaluation: Evaluation, count: int) -> Array:
    """The anchors of one image: (count, 4) float32 as centre y, centre x, height, width.

    Raises:
        GraphError: they do not follow from constants and shapes, or are of another number.
    """
    columns = [_column(evaluation, tensor, count) for tensor in decoding.centres]
    columns += [_size(evaluation, factors, count) for factors in decoding.halves]
    anchors = np.stack(columns, axis=-1)
    if not np.isfinite(anchors).all():
        raise GraphError(f"the anchors at {decoding.centres[0]!r} are not all finite numbers")
    return anchors


def _size(evaluation: Evaluation, factors: Factors, count: int) -> Array:
    """Twice the product of `factors`."""
    size: Array = np.full(count, 2, np.float32)
    for tensor, divides in factors:
        data = evaluation.value(tensor).data
        number = data is not None and data.size == 1
        column = data.reshape(-1) if number and data is not None else None
        if column is None:
            column = _column(evaluation, tensor, count)
        size = size / column if divides else size * column
    return size.astype(np.float32)


def _column(evaluation: Evaluation, tensor: str, count: int) -> Array:
    data = evaluation.value(tensor).data
    if data is None:
        raise GraphError(f"the anchors at {tensor!r} do not follow from constants and shapes")
    if data.size != count:
        raise GraphError(f"{data.size} anchors at {tensor!r} for {count} boxes")
    return data.astype(np.float32).reshape(-1)


def read_scales(
    decoding: Decoding, evaluation: Evaluation, count: int
) -> tuple[float, float, float, float]:
    """The scales of the box coder: y, x, height, width.

    Raises:
        UnsupportedError: what encodings are multiplied with is no multiple of the anchors' size.
    """
    factors = list(decoding.factors)
    spread = 1e-6
    for index in (0, 1):
        span = _column(evaluation, decoding.spans[index], count).astype(np.float64)
        ratios = span / _size(evaluation, decoding.halves[index], count)
        ratio = float(np.median(ratios))
        deviation = float(np.max(np.abs(ratios / ratio - 1)))
        # Merged constants are rounded once more: to float32, in small models to float16.
        if not deviation < 2e-3:
            raise _foreign(decoding.parts)
        spread = max(spread, deviation)
        factors[index] *= ratio
    if not all(np.isfinite(factor) and factor > 0 for factor in factors):
        raise _foreign(decoding.parts)
    y, x, height, width = (_shortest(1 / factor, spread) for factor in factors)
    return y, x, height, width


def _shortest(value: float, deviation: float) -> float:
    """The shortest number so near to `value`: scales are written by hand, the rest is rounding."""
    for digits in range(1, 7):
        short = float(f"{value:.{digits}g}")
        if abs(short / value - 1) <= deviation:
            return short
    return value
