"""TensorFlow graphs: GraphDef in binary (.pb) and in text (.pbtxt), as plain nodes.

Sources: `tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape,types}.proto`.
"""

import enum
import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError
from flatshot.formats import files, protobuf
from flatshot.formats.files import StrPath

Array = npt.NDArray[Any]


class DataType(enum.IntEnum):
    """Element types of TensorFlow; the names and numbers of `types.proto`."""

    DT_INVALID = 0
    DT_FLOAT = 1
    DT_DOUBLE = 2
    DT_INT32 = 3
    DT_UINT8 = 4
    DT_INT16 = 5
    DT_INT8 = 6
    DT_STRING = 7
    DT_COMPLEX64 = 8
    DT_INT64 = 9
    DT_BOOL = 10
    DT_QINT8 = 11
    DT_QUINT8 = 12
    DT_QINT32 = 13
    DT_BFLOAT16 = 14
    DT_QINT16 = 15
    DT_QUINT16 = 16
    DT_UINT16 = 17
    DT_COMPLEX128 = 18
    DT_HALF = 19
    DT_RESOURCE = 20
    DT_VARIANT = 21
    DT_UINT32 = 22
    DT_UINT64 = 23


# Types whose elements are plain numbers, little-endian on disk. bfloat16 has no NumPy dtype.
NUMPY_TYPES: dict[DataType, np.dtype[Any]] = {
    DataType.DT_FLOAT: np.dtype("<f4"),
    DataType.DT_DOUBLE: np.dtype("<f8"),
    DataType.DT_INT32: np.dtype("<i4"),
    DataType.DT_UINT8: np.dtype("u1"),
    DataType.DT_INT16: np.dtype("<i2"),
    DataType.DT_INT8: np.dtype("i1"),
    DataType.DT_COMPLEX64: np.dtype("<c8"),
    DataType.DT_INT64: np.dtype("<i8"),
    DataType.DT_BOOL: np.dtype("?"),
    DataType.DT_UINT16: np.dtype("<u2"),
    DataType.DT_COMPLEX128: np.dtype("<c16"),
    DataType.DT_HALF: np.dtype("<f2"),
    DataType.DT_UINT32: np.dtype("<u4"),
    DataType.DT_UINT64: np.dtype("<u8"),
}
DATA_TYPES = {dtype: number for number, dtype in NUMPY_TYPES.items()}

# TensorFlow Lite files end at 2 GiB; no tensor on the way to one can be larger.
MAX_TENSOR_BYTES = 2**31 - 1
MAX_RANK = 32
"""Dimensions that every NumPy's arrays can have; detectors have up to five."""

# What the constants of a graph may take that are given by fewer values than they have elements:
# without a limit a file of a kilobyte would make models of gigabytes.
_MAX_FILLED_BYTES = 2**27


@dataclass(frozen=True)
class Shape:
    """A static shape; a dimension of -1 is unknown, `dims` None is an unknown rank."""

    dims: tuple[int, ...] | None


Attr = bool | int | float | bytes | DataType | Shape | Array | list[Any]


FLOAT: Mapping[str, Attr] = {"T": DataType.DT_FLOAT}
"""The attributes of an operator that reads and makes float32 and has no others."""

CONTROL = -1
"""The output number of an edge that carries no value, only an order."""


class TensorName(NamedTuple):
    """What an input of a node names: an output of another one.

    Attributes:
        node: the name of the node that makes it.
        number: of the output; in a function's body, within `port`. `CONTROL` for a control edge.
        port: the name of the output argument, by which bodies of functions count outputs; empty
            in graphs, which count them all together.
    """

    node: str
    number: int = 0
    port: str = ""

    def __str__(self) -> str:
        if self.number == CONTROL:
            return f"^{self.node}"
        if self.port:
            return f"{self.node}:{self.port}:{self.number}"
        return f"{self.node}:{self.number}" if self.number else self.node


def parse_tensor(text: str) -> TensorName:
    """The parts of `name`, `name:1`, `^name`, or `name:output:0` as functions have it."""
    if text.startswith("^"):
        return TensorName(text[1:], CONTROL)
    front, colon, number = text.rpartition(":")
    if not (colon and number.isdecimal() and len(number) < 6):
        return TensorName(text)
    node, _, port = front.partition(":")
    return TensorName(node, int(number), port)


@dataclass(frozen=True, eq=False)
class Node:
    """One node. An input is `name`, `name:k` for output k, or `^name` for a control edge."""

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attrs: Mapping[str, Attr] = field(default_factory=dict)

    @functools.cached_property
    def data_inputs(self) -> tuple[str, ...]:
        """The tensors that it reads, each under its one name: `name:0` is `name`."""
        texts = (text for text in self.inputs if not text.startswith("^"))
        return tuple(str(parse_tensor(text)) if ":" in text else text for text in texts)

    @functools.cached_property
    def sources(self) -> tuple[str, ...]:
        """The names of the nodes that make `data_inputs`, in the same order."""
        return tuple(parse_tensor(text).node for text in self.data_inputs)

    @functools.cached_property
    def controls(self) -> tuple[str, ...]:
        """The names of the nodes that must run before it and whose values it does not read."""
        return tuple(text[1:] for text in self.inputs if text.startswith("^"))


@dataclass(frozen=True, eq=False)
class Graph:
    """A GraphDef: nodes in the order of the file."""

    nodes: tuple[Node, ...]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @functools.cached_property
    def by_name(self) -> Mapping[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    def to_bytes(self) -> bytes:
        """The graph as a binary GraphDef."""
        return _to_message(self).SerializeToString(deterministic=True)  # type: ignore[no-any-return]

    def to_text(self) -> Iterator[bytes]:
        """The graph as a text GraphDef, piece by piece: weights make it several times as long."""
        yield from _to_text(self)

    def save(self, directory: StrPath) -> tuple[Path, Path]:
        """Write `tflite_graph.pb` and `tflite_graph.pbtxt` into `directory`; made if missing.

        Returns:
            The paths of the two files.

        Raises:
            FileError: the directory cannot be written.
        """
        binary = Path(directory) / "tflite_graph.pb"
        text = Path(directory) / "tflite_graph.pbtxt"
        files.write_bytes(binary, self.to_bytes())
        with files.write_beside(text) as file:
            for piece in self.to_text():
                file.write(piece)
        return binary, text


def load_graph(path: StrPath) -> Graph:
    """The graph in the file at `path`; text if it is named `*txt`, else binary.

    Raises:
        FileError: the file cannot be read.
        FormatError: it holds no GraphDef.
    """
    data = files.map_bytes(path)
    try:
        return read_text(bytes(data)) if str(path).endswith("txt") else read_binary(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def read_binary(data: bytes | memoryview) -> Graph:
    """The graph in the bytes of a `.pb` file.

    Raises:
        FormatError: they are no GraphDef.
    """
    return _from_message(protobuf.parse_binary(_messages()["GraphDef"], data, "GraphDef"))


def read_text(text: str | bytes) -> Graph:
    """The graph in the text of a `.pbtxt` file.

    Raises:
        FormatError: it is no GraphDef; the message has line and column.
    """
    target = _messages()["GraphDef"]()
    protobuf.parse_text(target, text, "GraphDef")
    return _from_message(target)


@functools.cache
def _messages() -> dict[str, Any]:
    values = ["bytes s = 2", "int64 i = 3", "float f = 4", "bool b = 5", "DataType type = 6"]
    return protobuf.message_classes(
        "tensorflow",
        "proto3",
        {
            "DataType": {kind.name: kind.value for kind in DataType},
            "GraphDef": [
                "repeated NodeDef node = 1",
                "Opaque library = 2",
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
                "oneof value: Opaque func = 10",
            ],
            "ListValue": [
                *(f"repeated {text}" for text in values),
                "repeated TensorShapeProto shape = 7",
                "repeated TensorProto tensor = 8",
                "repeated Opaque func = 9",
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
            "Opaque": [],
        },
    )


# --- message -> graph ---------------------------------------------------------------------------


def _from_message(message: Any) -> Graph:
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
    return Graph(nodes)


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


def _read_node(node: Any, filling: _Filling) -> Node:
    attrs = {}
    for key, value in node.attr.items():
        kind = value.WhichOneof("value")
        if kind is None or kind in ("func", "placeholder"):
            continue
        try:
            attrs[key] = _read_attr(kind, getattr(value, kind), filling)
        except FormatError as error:
            raise FormatError(f"node {node.name!r}, attribute {key!r}: {error}") from error
    return Node(node.name, node.op, tuple(node.input), attrs)


def _read_attr(kind: str, value: Any, filling: _Filling) -> Attr:
    if kind == "list":
        for name in ("s", "i", "f", "b", "type", "shape", "tensor"):
            if items := getattr(value, name):
                return [_read_attr(name, item, filling) for item in items]
        return []
    if kind == "type":
        return _data_type(value)
    if kind == "shape":
        return _read_shape(value)
    if kind == "tensor":
        return _read_tensor(value, filling)
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
_VALUES = {
    DataType.DT_FLOAT: "float_val",
    DataType.DT_DOUBLE: "double_val",
    DataType.DT_INT32: "int_val",
    DataType.DT_UINT8: "int_val",
    DataType.DT_INT16: "int_val",
    DataType.DT_INT8: "int_val",
    DataType.DT_UINT16: "int_val",
    DataType.DT_INT64: "int64_val",
    DataType.DT_BOOL: "bool_val",
    DataType.DT_UINT32: "uint32_val",
    DataType.DT_UINT64: "uint64_val",
}


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
    if kind not in _VALUES:
        raise FormatError(f"constants of type {kind.name} are not supported in this form")
    # Small integers share a field of wider ones: those that do not fit wrap, as in TensorFlow.
    wide = dtype if dtype.kind == "u" and dtype.itemsize == 8 else _WIDE.get(dtype.kind, np.int64)
    return np.array(getattr(message, _VALUES[kind]), wide).astype(dtype)


def _read_strings(message: Any, shape: tuple[int, ...]) -> Array:
    values = np.array(list(message.string_val), object)
    if not values.size or values.size != math.prod(shape):
        raise FormatError(f"{values.size} strings do not fill shape {list(shape)}")
    return values.reshape(shape)


# --- graph -> message ---------------------------------------------------------------------------


def _to_message(graph: Graph) -> Any:
    message = _messages()["GraphDef"]()
    for node in graph.nodes:
        target = message.node.add(name=node.name, op=node.op, input=node.inputs)
        for key, value in node.attrs.items():
            _write_attr(target.attr[key], value)
    # As TransformGraph leaves it: an empty function library and no versions.
    message.library.SetInParent()
    return message


def _write_attr(target: Any, value: Attr) -> None:
    if isinstance(value, list):
        target.list.SetInParent()
        for item in value:
            kind = _attr_kind(item)
            if isinstance(item, Shape):
                _write_shape(target.list.shape.add(), item)
            elif isinstance(item, np.ndarray):
                _write_tensor(target.list.tensor.add(), item)
            else:
                getattr(target.list, kind).append(item)
        return
    kind = _attr_kind(value)
    if isinstance(value, Shape):
        _write_shape(target.shape, value)
    elif isinstance(value, np.ndarray):
        _write_tensor(target.tensor, value)
    else:
        setattr(target, kind, value)


def _attr_kind(value: Any) -> str:
    # The order matters: bool and DataType are integers too.
    for type_, kind in (
        (bool, "b"),
        (DataType, "type"),
        (int, "i"),
        (float, "f"),
        (bytes, "s"),
        (Shape, "shape"),
        (np.ndarray, "tensor"),
    ):
        if isinstance(value, type_):
            return kind
    raise TypeError(f"a node attribute cannot be {type(value).__name__}")


def _write_shape(target: Any, shape: Shape) -> None:
    target.SetInParent()
    if shape.dims is None:
        target.unknown_rank = True
    else:
        for size in shape.dims:
            target.dim.add(size=size)


def _write_tensor(target: Any, value: Array) -> None:
    _write_shape(target.tensor_shape, Shape(value.shape))
    if value.dtype == object:
        target.dtype = DataType.DT_STRING
        target.string_val.extend(value.reshape(-1))
        return
    kind = DATA_TYPES[value.dtype.newbyteorder("<")]
    target.dtype = kind
    # One value that fills a shape is kept as one, as it was read.
    filled = value.size > 0 and not any(value.strides)
    if (value.size == 1 or filled) and kind in _VALUES:
        getattr(target, _VALUES[kind]).append(value.reshape(-1)[0].item())
    elif value.size:
        target.tensor_content = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


# --- graph -> text ------------------------------------------------------------------------------

_MARK = "flatshot tensor "


def _to_text(graph: Graph) -> Iterator[bytes]:
    """Let protobuf print the graph, but not the weights: it would escape them byte by byte.

    Each tensor's content is replaced by a mark before printing.
    """
    from google.protobuf import text_format

    message = _to_message(graph)
    contents: list[bytes] = []
    for node in message.node:
        if "value" in node.attr and node.attr["value"].tensor.tensor_content:
            tensor = node.attr["value"].tensor
            contents.append(tensor.tensor_content)
            tensor.tensor_content = f"{_MARK}{len(contents) - 1}".encode()
    text = text_format.MessageToString(message)
    for number, piece in enumerate(re.split(f'"{_MARK}([0-9]+)"', text)):
        if number % 2:
            yield b'"' + _escape(contents[int(piece)]) + b'"'
        else:
            yield piece.encode()


def _escape(data: bytes) -> bytes:
    r"""`data` with C escapes: printable ASCII as it is, \n \r \t \" \' \\, the rest in octal."""
    wide = _escape_table()[np.frombuffer(data, np.uint8)]
    return wide.tobytes().replace(b"\0", b"")


@functools.cache
def _escape_table() -> npt.NDArray[np.bytes_]:
    named = {10: b"\\n", 13: b"\\r", 9: b"\\t", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}
    return np.array(
        [
            named.get(code, b"%c" % code if 32 <= code < 127 else b"\\%03o" % code)
            for code in range(256)
        ],
        "S4",
    )
