"""What a tensor of a graph is, as far as that is known before the graph runs.

Each tensor has a shape, an element type and, where it follows from constants and shapes alone, a
value. Operators mean what the compiler's registry says; those that no TensorFlow Lite model
needs, because they only ever work on shapes and anchors, stand in a table here.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flatshot.compiler.frozen.wiring import HANDED_ON
from flatshot.compiler.ir import Value
from flatshot.compiler.operators import BY_TF_NAME, Operator, evaluate, foretell
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats.graphdef import (
    NUMPY_TYPES,
    Array,
    DataType,
    Graph,
    Node,
    TensorName,
    parse_tensor,
)
from flatshot.formats.order import sort_nodes

DESCRIBING = ("Shape", "ShapeN", "Rank", "Size")
"""Operators that say something of a tensor's shape, no matter what it holds."""

# Large enough for the anchors of any detector, and no trap for memory: of one array, and of all
# that is computed of a graph.
_MAX_BYTES = 2**26
_MAX_SUM = 2**27


def _range(node: Node, start: Array, limit: Array, delta: Array) -> Array:
    count = max(0, int(np.ceil((limit - start) / delta))) if delta else -1
    if not 0 <= count <= _MAX_BYTES // 8:
        raise GraphError(f"Range {node.name!r} has {count} elements")
    return np.asarray(start + np.arange(count, dtype=start.dtype) * delta, start.dtype)


def _reduce(function: Callable[..., Any]) -> Callable[..., Array]:
    def run(node: Node, x: Array, axes: Array) -> Array:
        keep = node.attrs.get("keep_dims") is True
        result = function(x, axis=tuple(int(axis) for axis in axes.reshape(-1)), keepdims=keep)
        return np.asarray(result, x.dtype)

    return run


def _divide(node: Node, x: Array, y: Array) -> Array:
    """Integers are divided towards 0, as in C."""
    return np.asarray(np.trunc(np.divide(x, y)) if x.dtype.kind in "iu" else x / y, x.dtype)


def _split_sizes(node: Node, x: Array, sizes: Array, axis: Array) -> list[Array]:
    lengths = [int(size) for size in sizes]
    if -1 in lengths:
        lengths[lengths.index(-1)] = x.shape[int(axis)] - sum(lengths) - 1
    return np.split(x, np.cumsum(lengths)[:-1], int(axis))


# What shapes and anchors are computed with beside the operators of the registry.
_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "Range": _range,
    "Prod": _reduce(np.prod),
    "Sum": _reduce(np.sum),
    "Max": _reduce(np.max),
    "Min": _reduce(np.min),
    "All": _reduce(np.all),
    "Any": _reduce(np.any),
    "Greater": lambda node, x, y: x > y,
    "GreaterEqual": lambda node, x, y: x >= y,
    "Less": lambda node, x, y: x < y,
    "LessEqual": lambda node, x, y: x <= y,
    "Equal": lambda node, x, y: x == y,
    "NotEqual": lambda node, x, y: x != y,
    "LogicalAnd": lambda node, x, y: x & y,
    "LogicalOr": lambda node, x, y: x | y,
    "LogicalNot": lambda node, x: ~x,
    "Select": lambda node, chosen, x, y: np.where(chosen, x, y),
    "SelectV2": lambda node, chosen, x, y: np.where(chosen, x, y),
    "FloorDiv": lambda node, x, y: np.asarray(np.floor_divide(x, y), x.dtype),
    "FloorMod": lambda node, x, y: np.asarray(np.mod(x, y), x.dtype),
    "Floor": lambda node, x: np.floor(x),
    "Ceil": lambda node, x: np.ceil(x),
    "Round": lambda node, x: np.round(x),
    "Log": lambda node, x: np.log(x),
    "Pow": lambda node, x, y: np.power(x, y),
    "Reciprocal": lambda node, x: np.asarray(1 / x, x.dtype),
    "Inv": lambda node, x: np.asarray(1 / x, x.dtype),
    "TruncateDiv": _divide,
    "Div": _divide,
    "DivNoNan": lambda node, x, y: np.where(y == 0, np.zeros_like(x), np.divide(x, y)),
    "ZerosLike": lambda node, x: np.zeros_like(x),
    "OnesLike": lambda node, x: np.ones_like(x),
    "InvertPermutation": lambda node, x: np.argsort(x).astype(x.dtype),
    "BroadcastTo": lambda node, x, shape: np.broadcast_to(x, shape),
    "SplitV": _split_sizes,
}


# Those whose result is no larger than what they read.
_REDUCING = ("Prod", "Sum", "Max", "Min", "All", "Any", "InvertPermutation", "SplitV", "Range")
_MAX_RANK = 32


class Evaluation:
    """Shapes, element types and values of a graph's tensors, worked out when asked for.

    Args:
        graph: the graph.
        fed: what is fed into the graph, by tensor name (`name` or `name:k`).
    """

    def __init__(self, graph: Graph, fed: Mapping[str, Value]) -> None:
        self._graph = graph
        self._known: dict[str, Value] = dict(fed)
        self._left = _MAX_SUM

    def value(self, tensor: str) -> Value:
        """What `tensor` is; its `data` is None where only running the graph tells.

        Raises:
            GraphError: shapes that do not fit, or a cycle.
            UnsupportedOpError: an operator on the way to it is not known.
        """
        if tensor not in self._known:
            root, number, _ = parse_tensor(tensor)
            if root not in self._graph.by_name:
                raise GraphError(f"there is no node {root!r} in the graph")
            for node in sort_nodes(self._graph, [self._graph.by_name[root]], self._open_sources):
                if not self._is_known(node.name):
                    self._compute(node)
            if tensor not in self._known:
                raise GraphError(f"node {root!r} has no output number {number}")
        return self._known[tensor]

    def constant(self, tensor: str) -> Array | None:
        """The value of `tensor`; None where it is not known before the graph runs."""
        try:
            return self.value(tensor).data
        except (GraphError, UnsupportedOpError):
            return None

    def _is_known(self, name: str) -> bool:
        return name in self._known

    def _open_sources(self, node: Node) -> list[str]:
        if self._is_known(node.name):
            return []
        return [
            source
            for text, source in zip(node.data_inputs, node.sources, strict=True)
            if text not in self._known
        ]

    def _compute(self, node: Node) -> None:
        inputs = []
        for text in node.data_inputs:
            if text not in self._known:
                raise GraphError(f"node {node.name!r} reads {text!r}, which does not exist")
            inputs.append(self._known[text])
        try:
            results = _compute(node, inputs)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise GraphError(f"{node.op} {node.name!r} cannot be computed: {error}") from error
        if node.op != "Const":
            self._left -= sum(value.data.nbytes for value in results if value.data is not None)
        if self._left < 0:
            raise GraphError(
                f"{node.op} {node.name!r}: more than {_MAX_SUM} bytes of the graph would have to "
                "be computed before it runs"
            )
        for number, value in enumerate(results):
            self._known[str(TensorName(node.name, number))] = value


def _compute(node: Node, inputs: list[Value]) -> list[Value]:
    if node.op in ("Const", "Placeholder"):
        return [_source(node)]
    if node.op in HANDED_ON:
        return [_like(node, inputs[0])]
    if node.op in DESCRIBING:
        return [_described(node, value) for value in inputs]
    operator = BY_TF_NAME.get(node.op)
    if operator is not None and not (node.op == "Div" and inputs[0].dtype.kind in "iu"):
        return _registered(node, operator, inputs)
    if node.op in _ARITHMETIC:
        return _arithmetic(node, inputs)
    raise UnsupportedOpError(f"{node.op} {node.name!r}: nothing is known of this operator here")


def _like(node: Node, value: Value) -> Value:
    return Value(node.name, value.shape, value.dtype, value.data)


def _source(node: Node) -> Value:
    data = node.attrs.get("value")
    if node.op == "Const" and isinstance(data, np.ndarray):
        return Value(node.name, data.shape, data.dtype, data)
    raise GraphError(f"{node.op} {node.name!r} has no value before the graph runs")


def _described(node: Node, value: Value) -> Value:
    """What Shape, Rank or Size say of `value`: no matter what it holds."""
    kind = node.attrs.get("out_type")
    dtype = NUMPY_TYPES[kind] if isinstance(kind, DataType) else np.dtype(np.int32)
    dims = value.dims
    data = {
        "Rank": np.array(len(dims), dtype),
        "Size": np.array(int(np.prod(dims, dtype=np.int64)), dtype),
    }.get(node.op, np.array(dims, dtype))
    return Value(node.name, data.shape, data.dtype, data)


def _registered(node: Node, operator: Operator, inputs: list[Value]) -> list[Value]:
    least, most = operator.inputs
    if not least <= len(inputs) <= most:
        raise GraphError(f"{node.op} {node.name!r} has {len(inputs)} inputs, not {least}")
    op, shape, dtype, count = foretell(node, operator, inputs)
    names = [str(TensorName(node.name, number)) for number in range(count)]
    op.outputs = [Value(name, shape, dtype) for name in names]
    arrays = [value.data for value in inputs if value.data is not None]
    size = np.prod(shape, dtype=np.float64) * count * dtype.itemsize
    if len(arrays) < len(inputs) or operator.kernel is None or size > _MAX_BYTES:
        return op.outputs
    if operator.kind in ("conv2d", "depthwise_conv2d"):
        return op.outputs
    data = evaluate(op, *arrays)
    parts = list(data) if count > 1 else [data.reshape(shape)]
    return [Value(name, shape, dtype, part) for name, part in zip(names, parts, strict=True)]


def _arithmetic(node: Node, inputs: list[Value]) -> list[Value]:
    arrays = []
    for value in inputs:
        if value.data is None:
            raise GraphError(f"{node.op} {node.name!r}: {value.name!r} is known only at run time")
        arrays.append(value.data)
    _check_result(node, arrays)
    with np.errstate(all="ignore"):
        result = _ARITHMETIC[node.op](node, *arrays)
    parts = result if isinstance(result, list) else [np.asarray(result)]
    return [
        Value(str(TensorName(node.name, number)), part.shape, part.dtype, part)
        for number, part in enumerate(parts)
    ]


def _check_result(node: Node, arrays: list[Array]) -> None:
    """Refuse arithmetic whose result, or what it makes on the way, would fill the memory."""
    if node.op == "BroadcastTo":
        count = math.prod(int(size) for size in arrays[1].reshape(-1)[:_MAX_RANK])
    elif node.op in _REDUCING:
        return
    else:
        count = math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    if count * 8 > _MAX_BYTES:
        raise GraphError(f"{node.op} {node.name!r} has {count} elements")
