"""The settings of a graph's own suppression of overlapping boxes.

Source: `object_detection/core/post_processing.py`, as it was from 2017 on: one operator a class
or one for all, the score threshold in the operator or in a comparison before it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.wiring import Wiring
from flatshot.formats.graphdef import Array, Node, parse_tensor

Constant = Callable[[str], Array | None]

_OPERATORS = tuple(f"NonMaxSuppression{version}" for version in ("", "V2", "V3", "V4", "V5"))
_COMBINED = "CombinedNonMaxSuppression"
_WITH_THRESHOLD = ("NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5")


@dataclass(frozen=True)
class Suppression:
    """What a graph's post-processing says; None where it does not.

    Attributes:
        score_threshold: boxes below it are dropped.
        iou_threshold: of two boxes that overlap more, the worse one is dropped.
        per_class: how many boxes of a class stay.
        total: how many boxes stay in all.
    """

    score_threshold: float | None = None
    iou_threshold: float | None = None
    per_class: int | None = None
    total: int | None = None


def read_suppression(wiring: Wiring, scores: str) -> Suppression | None:
    """The settings of the suppression that reads `scores`; None where the graph has none."""
    constant = Evaluation(wiring.graph, {}).constant
    behind = wiring.descendants([parse_tensor(scores).node])
    combined = [node for node in wiring.nodes_of(_COMBINED) if node.name in behind]
    if combined:
        return _read_combined(combined[0], constant)
    found = [node for node in wiring.nodes_of(*_OPERATORS) if node.name in behind]
    if not found:
        return None
    first = found[0]
    inputs = first.data_inputs
    return Suppression(
        score_threshold=_score_threshold(wiring, first, behind, constant),
        iou_threshold=_iou_threshold(first, constant),
        per_class=_smallest(wiring, inputs[2], constant),
        total=_total(wiring, found, constant),
    )


def _read_combined(node: Node, constant: Constant) -> Suppression:
    per_class, total, iou, score = (_number(constant(text)) for text in node.data_inputs[2:6])
    return Suppression(
        score,
        iou,
        None if per_class is None else int(per_class),
        None if total is None else int(total),
    )


def _number(data: Array | None) -> float | None:
    return None if data is None or data.size != 1 else float(data.reshape(()))


def _iou_threshold(node: Node, constant: Constant) -> float | None:
    if node.op == "NonMaxSuppression":
        value = node.attrs.get("iou_threshold", 0.5)
        return value if isinstance(value, float) else None
    inputs = node.data_inputs
    return _number(constant(inputs[3])) if len(inputs) > 3 else None


def _score_threshold(
    wiring: Wiring, node: Node, behind: set[str], constant: Constant
) -> float | None:
    """The operator's own threshold, or the largest one that scores are compared with before it."""
    inputs = node.data_inputs
    if node.op in _WITH_THRESHOLD and len(inputs) > 4:
        own = _number(constant(inputs[4]))
        if own is not None and np.isfinite(own):
            return own
    before = wiring.ancestors([inputs[1]]) & behind
    limits = []
    for comparison in wiring.nodes_of("Greater", "GreaterEqual"):
        if comparison.name in before:
            limit = constant(comparison.data_inputs[1])
            if limit is not None and limit.dtype.kind == "f" and limit.size == 1:
                limits.append(float(limit.reshape(())))
    return max((limit for limit in limits if 0 <= limit <= 1), default=None)


def _smallest(wiring: Wiring, tensor: str, constant: Constant) -> int | None:
    """The constant number, or the smallest one of those that a Minimum takes."""
    numbers: list[int] = []
    waiting, seen = [tensor], set()
    while waiting:
        text = wiring.source(waiting.pop())
        data = constant(text)
        if data is not None and data.size == 1:
            numbers.append(int(data.reshape(())))
        elif text not in seen and wiring.node(text).op in ("Minimum", "Cast", "Squeeze"):
            seen.add(text)
            waiting += wiring.node(text).data_inputs
    return min((number for number in numbers if number > 0), default=None)


def _total(wiring: Wiring, found: list[Node], constant: Constant) -> int | None:
    """How many boxes stay in all: behind the suppression, the sizes boxes are cut or filled up to.

    They are compared with the number of boxes there are; other comparisons there concern ranks
    (with 1) and areas (no whole numbers).
    """
    after = wiring.descendants([node.name for node in found])
    before = wiring.ancestors([node.name for node in found])
    sizes = []
    for node in wiring.nodes_of("Minimum", "Greater"):
        if node.name in after - before:
            for text in node.data_inputs:
                data = constant(text)
                if data is not None and data.size == 1 and data.dtype.kind == "i":
                    sizes.append(int(data.reshape(())))
    return max((size for size in sizes if size > 1), default=None)
