"""What a model costs: arithmetic operations, and memory for what is computed.

The conventions are TOCO's (`toco/tooling_util.cc`, `toco/allocate_transient_arrays.cc`), so that
the figures are those of its log.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from flatshot.formats import tflite
from flatshot.formats.tflite import Builtin, Operator, SubGraph, Tensor, TFLiteModel, indices

ALIGNMENT = 64
"""Bytes to which TOCO rounds each array up."""

# Arithmetic operations for each element of the result.
_PER_ELEMENT = {
    Builtin.ADD: 1,
    Builtin.SUB: 1,
    Builtin.MUL: 1,
    Builtin.DIV: 1,
    Builtin.LOGISTIC: 64,
    Builtin.SOFTMAX: 64,
}


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes for tensors that are computed, inputs and outputs of the model not counted.

    Attributes:
        allocated: what first-fit placement takes.
        optimal: the largest sum over one operator's inputs and outputs: no plan takes less.
        peak: the largest sum of what is alive at one operator, for graphs where values wait.
    """

    allocated: int
    optimal: int
    peak: int


def arithmetic_ops(model: TFLiteModel) -> int:
    """The arithmetic operations of one inference; a multiply-add counts as two."""
    graph = model.subgraphs[0]
    return sum(operator_ops(model, graph, operator) for operator in graph.operators)


def operator_ops(model: TFLiteModel, graph: SubGraph, operator: Operator) -> int:
    """The arithmetic operations of one operator.

    Convolutions: 2 x kernel height x width x input channels (1 if depthwise) for each element of
    the result, and 1 more with a bias. Pooling: the window. Copying, fused activations and custom
    operators: nothing.
    """
    code = model.operator_codes[operator.opcode_index].code
    outputs = [graph.tensors[n] for n in indices(operator.outputs)]
    elements = element_count(outputs[0]) if outputs else 0
    if code in (Builtin.CONV_2D, Builtin.DEPTHWISE_CONV_2D):
        inputs = [graph.tensors[n] for n in indices(operator.inputs)]
        shape = inputs[1].shape if len(inputs) > 1 else None
        if shape is None or shape.size != 4:
            return 0
        window = int(shape[1]) * int(shape[2])
        depth = int(shape[3]) if code == Builtin.CONV_2D else 1
        return elements * (2 * window * depth + (len(inputs) > 2))
    if isinstance(operator.options, tflite.Pool2DOptions):
        return elements * operator.options.filter_h * operator.options.filter_w
    return elements * _PER_ELEMENT.get(code, 0)  # type: ignore[call-overload, no-any-return]


def element_count(tensor: Tensor) -> int:
    """The number of elements of `tensor`; 0 for a shape known only at run time."""
    if tensor.shape is None or not tensor.shape.size:
        return 0
    return math.prod(max(int(size), 0) for size in tensor.shape)


def plan_memory(model: TFLiteModel) -> MemoryPlan:
    """The memory that what the model computes takes, placed as TOCO places it.

    Each array lives from the first operator that names it to the last; when it is born it goes to
    the first gap that is wide enough.
    """
    graph = model.subgraphs[0]
    sizes = _transient_sizes(model, graph)
    steps = [
        [
            number
            for number in [*indices(operator.inputs), *indices(operator.outputs)]
            if number in sizes
        ]
        for operator in graph.operators
    ]
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for step, numbers in enumerate(steps):
        for number in numbers:
            first.setdefault(number, step)
            last[number] = step
    placed: list[tuple[int, int, int]] = []  # start, end, tensor; by start
    allocated = optimal = peak = alive = 0
    for step, numbers in enumerate(steps):
        for number in dict.fromkeys(numbers):
            if first[number] == step:
                start = _first_gap(placed, sizes[number])
                bisect.insort(placed, (start, start + sizes[number], number))
                allocated = max(allocated, start + sizes[number])
                alive += sizes[number]
        optimal = max(optimal, sum(sizes[number] for number in set(numbers)))
        peak = max(peak, alive)
        if dying := {number for number in numbers if last[number] == step}:
            placed = [item for item in placed if item[2] not in dying]
            alive -= sum(sizes[number] for number in dying)
    return MemoryPlan(allocated, optimal, peak)


def _first_gap(placed: Sequence[tuple[int, int, int]], size: int) -> int:
    position = 0
    for start, end, _ in placed:
        if start >= position + size:
            return position
        position = end
    return position


def _transient_sizes(model: TFLiteModel, graph: SubGraph) -> dict[int, int]:
    """Bytes of each computed tensor, rounded up; model inputs and outputs belong to the caller."""
    outside = {*indices(graph.inputs), *indices(graph.outputs)}
    sizes = {}
    for number, tensor in enumerate(graph.tensors):
        buffer = model.buffers[tensor.buffer] if tensor.buffer < len(model.buffers) else None
        constant = buffer is not None and buffer.data is not None and buffer.data.size > 0
        dtype = tflite.NUMPY_TYPES.get(tensor.type)
        size = element_count(tensor) * (dtype.itemsize if dtype else 1)
        if size and not constant and number not in outside:
            sizes[number] = -(-size // ALIGNMENT) * ALIGNMENT
    return sizes
