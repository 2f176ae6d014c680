"""GraphDef messages to graphs.

Sources: `tensorflow/core/framework/{graph,node_def,function,op_def,attr_value,tensor,types}.proto`.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flatshot.errors import FormatError
from flatshot.formats import protobuf
from flatshot.formats.graphdef import (
    MAX_RANK,
    MAX_TENSOR_BYTES,
    NUMPY_TYPES,
    VALUE_FIELDS,
    Array,
    Attr,
    Call,
    DataType,
    Function,
    Graph,
    Library,
    Node,
    Shape,
)

# What the constants of a graph may take that are given by fewer values than they have elements:
# without a limit a file of a kilobyte would make models of gigabytes.
_MAX_FILLED_BYTES = 2**27


@functools.cache
def messages() -> dict[str, Any]:
    """The messages of a GraphDef, by name."""
    values = ["bytes s = 2", "int64 i = 3", "float f = 4", "bool b = 5", "DataType type = 6"]
    return protobuf.message_classes(
        "tensorflow",
        "proto3",
        {
            "DataType": {kind.name: kind.value for kind in DataType},
            "GraphDef": [
                "repeated NodeDef node = 1",
                "FunctionDefLibrary library = 2",
                "int32 version = 3",
                "VersionDef versions = 4",
            ],
            "NodeDef": [
                "string name = 1",
                "string op = 2",
                "repeated string input = 3",
                "string device = 4",
                "map<string, AttrValue> attr = 5",
            ],
            "AttrValue": [
                "oneof value: ListValue list = 1",
                *(f"oneof value: {text}" for text in values),
                "oneof value: TensorShapeProto shape = 7",
                "oneof value: TensorProto tensor = 8",
                "oneof value: string placeholder = 9",
                "oneof value: NameAttrList func = 10",
            ],
            "ListValue": [
                *(f"repeated {text}" for text in values),
                "repeated TensorShapeProto shape = 7",
                "repeated TensorProto tensor = 8",
                "repeated NameAttrList func = 9",
            ],
            "TensorShapeProto": ["repeated Dim dim = 2", "bool unknown_rank = 3"],
            "Dim": ["int64 size = 1", "string name = 2"],
            "TensorProto": [
                "DataType dtype = 1",
                "TensorShapeProto tensor_shape = 2",
                "int32 version_number = 3",
                "bytes tensor_content = 4",
                "repeated float float_val = 5",
                "repeated double double_val = 6",
                "repeated int32 int_val = 7",
                "repeated bytes string_val = 8",
                "repeated float scomplex_val = 9",
                "repeated int64 int64_val = 10",
                "repeated bool bool_val = 11",
                "repeated double dcomplex_val = 12",
                "repeated int32 half_val = 13",
                "repeated uint32 uint32_val = 16",
                "repeated uint64 uint64_val = 17",
            ],
            "VersionDef": [
                "int32 producer = 1",
                "int32 min_consumer = 2",
                "repeated int32 bad_consumers = 3",
            ],
            # Nearly all functions of a SavedModel are traces that nothing calls: they stay bytes.
            "FunctionDefLibrary": ["repeated bytes function = 1"],
            "NamedFunction": ["NamedSignature signature = 1"],
            "NamedSignature": ["string name = 1"],
            "FunctionDef": [
                "OpDef signature = 1",
                "repeated NodeDef node_def = 3",
                "map<string, string> ret = 4",
                "map<string, AttrValue> attr = 5",
            ],
            "OpDef": [
                "string name = 1",
                "repeated ArgDef input_arg = 2",
                "repeated ArgDef output_arg = 3",
            ],
            "ArgDef": ["string name = 1"],
            "NameAttrList": ["string name = 1", "map<string, AttrValue> attr = 2"],
        },
    )


def read_graph(message: Any) -> Graph:
    """The graph in a GraphDef message.

    Raises:
        FormatError: it is none that could be.
    """
    filling = _Filling()
    nodes = tuple(_read_node(node, filling) for node in message.node)
    if not nodes:
        raise FormatError("not a GraphDef: it has no nodes")
    names: set[str] = set()
    for node in nodes:
        if not node.name or not node.op:
            raise FormatError(f"not a GraphDef: a node has name {node.name!r} and op {node.op!r}")
        if node.name in names:
            raise FormatError(f"node {node.name!r} is defined twice")
        names.add(node.name)
    return Graph(nodes, _read_library(message.library.function))


class _Filling:
    """Adds up what constants take that are given by fewer values than they have elements."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, count: int) -> None:
        """Count `count` bytes more."""
        self._bytes += count
        if self._bytes > _MAX_FILLED_BYTES:
            raise FormatError(
                f"filling constants with one value would take {self._bytes} bytes; "
                f"the limit is {_MAX_FILLED_BYTES}"
            )


def _read_library(functions: Sequence[bytes]) -> Library:
    filling = _Filling()
    named = messages()["NamedFunction"]
    readers = {}
    for data in functions:
        name = protobuf.parse_binary(named, data, "function").signature.name
        readers[name] = functools.partial(_parse_function, data, filling)
    return Library(readers)


def _parse_function(data: bytes, filling: _Filling) -> Function:
    return _read_function(
        protobuf.parse_binary(messages()["FunctionDef"], data, "FunctionDef"), filling
    )


def _read_function(message: Any, filling: _Filling) -> Function:
    results = []
    for output in message.signature.output_arg:
        if output.name not in message.ret:
            raise FormatError(f"it does not say what its result {output.name!r} is")
        results.append(message.ret[output.name])
    implements = None
    if "_implements" in message.attr and message.attr["_implements"].WhichOneof("value") == "func":
        implements = _read_attr("func", message.attr["_implements"].func, filling)
    return Function(
        arguments=tuple(each.name for each in message.signature.input_arg),
        nodes=tuple(_read_node(node, filling, _NOTES) for node in message.node_def),
        results=tuple(results),
        implements=implements if isinstance(implements, Call) else None,
    )


def _read_node(node: Any, filling: _Filling, without: Sequence[str] = ()) -> Node:
    try:
        attrs = _read_attrs(node, filling, without)
    except FormatError as error:
        raise FormatError(f"node {node.name!r}, {error}") from error
    return Node(node.name, node.op, tuple(node.input), attrs)


# What TensorFlow noted of shapes as it traced a function: half of the attributes in one, and of no
# use, for they are worked out anew.
_NOTES = ("_output_shapes",)


def _read_attrs(message: Any, filling: _Filling, without: Sequence[str] = ()) -> dict[str, Attr]:
    attrs = {}
    for key, value in message.attr.items():
        kind = value.WhichOneof("value")
        if kind is None or kind == "placeholder" or key in without:
            continue
        try:
            attrs[key] = _read_attr(kind, getattr(value, kind), filling)
        except FormatError as error:
            raise FormatError(f"attribute {key!r}: {error}") from error
    return attrs


def _read_attr(kind: str, value: Any, filling: _Filling) -> Attr:
    if kind == "list":
        for name in ("s", "i", "f", "b", "type", "shape", "tensor", "func"):
            if items := getattr(value, name):
                return [_read_attr(name, item, filling) for item in items]
        return []
    if kind == "type":
        return _data_type(value)
    if kind == "shape":
        return _read_shape(value)
    if kind == "tensor":
        return _read_tensor(value, filling)
    if kind == "func":
        return Call(value.name, _read_attrs(value, filling))
    return value  # type: ignore[no-any-return]


def _data_type(number: int) -> DataType:
    try:
        # Reference types, of variables in old graphs, are the plain ones plus 100.
        return DataType(number - 100 if number > 100 else number)
    except ValueError:
        raise FormatError(f"there is no element type {number}") from None


def _read_shape(message: Any) -> Shape:
    if message.unknown_rank:
        return Shape(None)
    if len(message.dim) > MAX_RANK:
        raise FormatError(f"{len(message.dim)} dimensions are too many")
    return Shape(tuple(dim.size for dim in message.dim))


# Complex numbers are stored as their real and imaginary parts in turn.
_PAIRS = {DataType.DT_COMPLEX64: "scomplex_val", DataType.DT_COMPLEX128: "dcomplex_val"}
_WIDE = {"f": np.float64, "b": np.bool_}


def _read_tensor(message: Any, filling: _Filling) -> Array:
    """A TensorProto as an array, never copied where its bytes are all there."""
    kind = _data_type(message.dtype)
    shape = _read_shape(message.tensor_shape).dims
    if shape is None or any(size < 0 for size in shape):
        raise FormatError("a constant has an unknown shape")
    if kind is DataType.DT_STRING:
        return _read_strings(message, shape)
    dtype = NUMPY_TYPES.get(kind)
    if dtype is None:
        raise FormatError(f"constants of type {kind.name} are not supported")
    count = math.prod(shape)
    # An empty tensor may have sides of any length; NumPy multiplies those that are not 0.
    if math.prod(size or 1 for size in shape) * dtype.itemsize > MAX_TENSOR_BYTES:
        raise FormatError(f"a constant of shape {list(shape)} is larger than 2 GiB")
    if message.tensor_content:
        if len(message.tensor_content) != count * dtype.itemsize:
            raise FormatError(
                f"{len(message.tensor_content)} bytes do not fill {kind.name} {list(shape)}"
            )
        return np.frombuffer(message.tensor_content, dtype).reshape(shape)
    values = _read_values(message, kind, dtype)
    if values.size > count:
        raise FormatError(f"{values.size} values are too many for shape {list(shape)}")
    if values.size < count:
        filling.add(count * dtype.itemsize)
    return _spread(values, count, dtype).reshape(shape)


def _spread(values: Array, count: int, dtype: np.dtype[Any]) -> Array:
    """`values` made `count` long: the last one stands for all that follow, as in TensorFlow."""
    if values.size == count:
        return values
    last = values[-1] if values.size else dtype.type(0)
    if values.size <= 1:
        return np.broadcast_to(last, (count,))  # takes no memory, however large it claims to be
    return np.concatenate([values, np.full(count - values.size, last, dtype)])


def _read_values(message: Any, kind: DataType, dtype: np.dtype[Any]) -> Array:
    if kind is DataType.DT_HALF:
        return np.array(message.half_val, np.int64).astype(np.uint16).view(np.float16)
    if kind in _PAIRS:
        parts = np.array(getattr(message, _PAIRS[kind]), np.float64)
        if parts.size % 2:
            raise FormatError(f"{parts.size} numbers are no complex ones")
        return parts.view(np.complex128).astype(dtype)
    if kind not in VALUE_FIELDS:
        raise FormatError(f"constants of type {kind.name} are not supported in this form")
    # Small integers share a field of wider ones: those that do not fit wrap, as in TensorFlow.
    wide = dtype if dtype.kind == "u" and dtype.itemsize == 8 else _WIDE.get(dtype.kind, np.int64)
    return np.array(getattr(message, VALUE_FIELDS[kind]), wide).astype(dtype)


def _read_strings(message: Any, shape: tuple[int, ...]) -> Array:
    values = np.array(list(message.string_val), object)
    if not values.size or values.size != math.prod(shape):
        raise FormatError(f"{values.size} strings do not fill shape {list(shape)}")
    return values.reshape(shape)
