"""Ranges found by calibration, as plain data, and how they become those of a graph's tensors.

The body of a network takes the central 99.99 % of what was seen. Its heads take all of it: the
tails of the box encodings are the small objects. Logits of a sigmoid are cut to [-8, 4], where the
score is as good as 0, or the order of detections settled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flatshot.compiler.ir import Graph, Op, Range, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.compiler.operators.registry import EightBits
from flatshot.errors import GraphError
from flatshot.formats.tflite import Activation

LOGITS = (-8.0, 4.0)
_HANDING = ("reshape", "concat", "transpose", "squeeze", "expand_dims", "slice", "strided_slice")
_SIX, _SIXTH = np.float32(6), np.float32(1) / np.float32(6)


@dataclass(frozen=True)
class Seen:
    """What calibration saw of a tensor.

    Attributes:
        low: the least number.
        high: the largest.
        body_low: what all but a 20,000th of the numbers reach or pass.
        body_high: what all but a 20,000th stay below.
        means: the mean of each channel.
    """

    low: float
    high: float
    body_low: float
    body_high: float
    means: tuple[float, ...] = ()


def apply_ranges(graph: Graph, seen: Mapping[str, Seen]) -> int:
    """Give the tensors of `graph` the ranges that calibration found, by name; how many got one.

    Raises:
        GraphError: numbers that are none were seen.
    """
    heads = _head_tensors(graph)
    count = 0
    for op in graph.ops:
        for value in op.outputs:
            found = seen.get(value.name)
            if found is None:
                continue
            if not np.isfinite([found.low, found.high]).all():
                raise GraphError(
                    f"{value.name!r} becomes infinite or no number on the images of calibration: "
                    "the model is damaged"
                )
            value.range = _range(found, heads.get(id(value)))
            count += 1
    return count


def _range(found: Seen, role: str | None) -> Range:
    if role is None:
        return Range(found.body_low, found.body_high)
    if role == "logits":
        low, high = max(found.low, LOGITS[0]), min(found.high, LOGITS[1])
        return Range(min(low, high), max(low, high))
    return Range(found.low, found.high)


def clip_logits(graph: Graph) -> None:
    """Cut the ranges of the logits of sigmoids, where they are known."""
    heads = _head_tensors(graph)
    for value in graph.values():
        if value.range is not None and heads.get(id(value)) == "logits":
            low, high = max(value.range.low, LOGITS[0]), min(value.range.high, LOGITS[1])
            value.range = Range(min(low, high), max(low, high))


def join_ranges(graph: Graph) -> None:
    """Give concatenations the union of their parts, where training found no range for them."""
    for op in graph.ops:
        kind = EightBits.NO if op.kind == "custom" else OPERATORS[op.kind].eight_bits
        for value in op.outputs if kind is not EightBits.NO else ():
            if value.range is not None:
                continue
            parts = [part.range for part in op.inputs if part.range is not None]
            if op.kind == "concat" and len(parts) == len(op.inputs):
                low, high = min(part.low for part in parts), max(part.high for part in parts)
                value.range = Range(low, high)
            elif kind is EightBits.INPUT and parts:
                value.range = parts[0]


def _head_tensors(graph: Graph) -> dict[int, str]:
    """The tensors between the last layers and the outputs, by what they hold."""
    roles: dict[int, str] = {}
    # The post-processing operator reads boxes and scores; a cut model ends in them.
    ends = [value for op in graph.ops if op.kind == "custom" for value in op.inputs[:2]]
    for value in ends or graph.outputs:
        maker = value.producer
        if maker is not None and maker.kind in ("sigmoid", "softmax"):
            role = "logits" if maker.kind == "sigmoid" else "head"
            _mark(maker.inputs[0], role, roles)
        else:
            _mark(value, "head", roles)
    return roles


def _mark(value: Value, role: str, roles: dict[int, str]) -> None:
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if id(current) in roles or current.data is not None:
            continue
        roles[id(current)] = role
        if current.producer is not None and current.producer.kind in _HANDING:
            waiting += current.producer.inputs


def unfuse_hard_swish(graph: Graph) -> int:
    """Replace HARD_SWISH by x * (relu6(x + 3) / 6): XNNPACK has no int8 form of the one."""
    count = 0
    order: list[Op] = []
    for op in graph.ops:
        if op.kind == "hard_swish":
            order += _gate(graph, op)
            count += 1
        order.append(op)
    graph.reorder(order)
    return count


def _gate(graph: Graph, op: Op) -> list[Op]:
    image = op.inputs[0]
    made: list[Op] = []
    value = image
    for kind, number, limits, attrs in (
        ("add", np.float32(3), Range(0.0, 6.0), {"activation": Activation.RELU6}),
        ("mul", _SIXTH, Range(0.0, 1.0), {}),
    ):
        name = graph.fresh_name(f"{op.name}/{kind}")
        constant = graph.constant(graph.fresh_name(f"{name}/y"), np.array(number))
        result = Value(name, image.shape, image.dtype)
        result.range = limits
        made.append(graph.add(Op(kind, name, [value, constant], attrs), [result]))
        value = result
    op.kind, op.attrs = "mul", {}
    graph.set_inputs(op, [image, value])
    return made


def means_of(seen: Mapping[str, Seen]) -> dict[str, npt.NDArray[np.float64]]:
    """The channels' means, by tensor."""
    return {name: np.array(found.means) for name, found in seen.items() if found.means}


def measured(graph: Graph) -> list[str]:
    """The tensors whose ranges a quantised form of `graph` needs."""
    return [
        op.outputs[0].name
        for op in graph.ops
        if op.kind in OPERATORS and OPERATORS[op.kind].eight_bits is EightBits.OWN
    ]
