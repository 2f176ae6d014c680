"""TensorFlow graphs: GraphDef in binary (.pb) and in text (.pbtxt), as plain nodes.

Sources: `tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape,types}.proto`.
"""

import enum
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError
from flatshot.formats import files
from flatshot.formats.files import StrPath
from flatshot.formats.sniffing import HEAD, mistaken

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

# Where a TensorProto keeps the elements of a type, if not as bytes.
VALUE_FIELDS = {
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

# TensorFlow Lite files end at 2 GiB; no tensor on the way to one can be larger.
MAX_TENSOR_BYTES = 2**31 - 1
MAX_RANK = 32
"""Dimensions that every NumPy's arrays can have; detectors have up to five."""


@dataclass(frozen=True)
class Shape:
    """A static shape; a dimension of -1 is unknown, `dims` None is an unknown rank."""

    dims: tuple[int, ...] | None


@dataclass(frozen=True)
class Call:
    """A function's name as an attribute of the node that calls it, with attributes for its body."""

    name: str
    attrs: Mapping[str, Any] = field(default_factory=dict, hash=False)


Attr = bool | int | float | bytes | DataType | Shape | Array | Call | list[Any]


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
class Function:
    """A function of a graph's library.

    Attributes:
        arguments: what its nodes call the tensors that it is given.
        nodes: its body; an input there is an argument, or `node:port:number`.
        results: the tensors that it gives, as its nodes name them.
        implements: the operator that it stands for, if it says so.
    """

    arguments: tuple[str, ...]
    nodes: tuple[Node, ...]
    results: tuple[str, ...]
    implements: Call | None = None


class Library(Mapping[str, Function]):
    """The functions of a graph, each read when it is called: most of a SavedModel's never are.

    Args:
        readers: what reads a function, by its name.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Function]]) -> None:
        self._readers = readers
        self._read: dict[str, Function] = {}

    def __getitem__(self, name: str) -> Function:
        if name not in self._read:
            try:
                self._read[name] = self._readers[name]()
            except FormatError as error:
                raise FormatError(f"function {name!r}, {error}") from error
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclass(frozen=True, eq=False)
class Graph:
    """A GraphDef: nodes in the order of the file, and the functions that they may call."""

    nodes: tuple[Node, ...]
    library: Mapping[str, Function] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Graph: {len(self.nodes)} nodes, {len(self.library)} functions>"

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
        from flatshot.formats.graphdef_writing import to_message

        return to_message(self).SerializeToString(deterministic=True)  # type: ignore[no-any-return]

    def to_text(self) -> Iterator[bytes]:
        """The graph as a text GraphDef, piece by piece: weights make it several times as long."""
        from flatshot.formats.graphdef_writing import to_text

        yield from to_text(self)

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


def load_graphdef(path: StrPath) -> Graph:
    """The graph in the file at `path`; text if it is named `*txt`, else binary.

    Raises:
        FileError: the file cannot be read.
        FormatError: it holds no GraphDef.
    """
    data = files.map_bytes(path)
    try:
        return read_text(bytes(data)) if str(path).endswith("txt") else read_binary(data)
    except FormatError as error:
        other = mistaken(data[:HEAD], "a GraphDef")
        raise FormatError(f"{path}: {other or error}") from error


def read_binary(data: bytes | memoryview) -> Graph:
    """The graph in the bytes of a `.pb` file.

    Raises:
        FormatError: they are no GraphDef.
    """
    from flatshot.formats import graphdef_reading, protobuf

    message = protobuf.parse_binary(graphdef_reading.messages()["GraphDef"], data, "GraphDef")
    return graphdef_reading.read_graph(message)


def read_text(text: str | bytes) -> Graph:
    """The graph in the text of a `.pbtxt` file.

    Raises:
        FormatError: it is no GraphDef; the message has line and column.
    """
    from flatshot.formats import graphdef_reading, protobuf

    target = graphdef_reading.messages()["GraphDef"]()
    protobuf.parse_text(target, text, "GraphDef")
    return graphdef_reading.read_graph(target)
