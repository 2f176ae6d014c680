"""Graphs to GraphDef messages, and to their text."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError
from flatshot.formats.graphdef import (
    DATA_TYPES,
    VALUE_FIELDS,
    Array,
    Attr,
    Call,
    DataType,
    Graph,
    Shape,
)
from flatshot.formats.graphdef_reading import messages


def to_message(graph: Graph) -> Any:
    """`graph` as a GraphDef message; functions are not written."""
    message = messages()["GraphDef"]()
    for node in graph.nodes:
        try:
            target = message.node.add(name=node.name, op=node.op, input=node.inputs)
        except UnicodeEncodeError as error:
            raise FormatError(
                f"node {node.name!r} cannot be written: {error.object!r} is half a character"
            ) from error
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
            elif isinstance(item, Call):
                _write_call(target.list.func.add(), item)
            else:
                getattr(target.list, kind).append(item)
        return
    kind = _attr_kind(value)
    if isinstance(value, Shape):
        _write_shape(target.shape, value)
    elif isinstance(value, np.ndarray):
        _write_tensor(target.tensor, value)
    elif isinstance(value, Call):
        _write_call(target.func, value)
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
        (Call, "func"),
    ):
        if isinstance(value, type_):
            return kind
    raise TypeError(f"a node attribute cannot be {type(value).__name__}")


def _write_call(target: Any, call: Call) -> None:
    target.name = call.name
    for key, value in call.attrs.items():
        _write_attr(target.attr[key], value)


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
    if (value.size == 1 or filled) and kind in VALUE_FIELDS:
        getattr(target, VALUE_FIELDS[kind]).append(value.reshape(-1)[0].item())
    elif value.size:
        target.tensor_content = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


def to_text(graph: Graph) -> Iterator[bytes]:
    """Let protobuf print the graph, but not the weights: it would escape them byte by byte.

    Each tensor's content is replaced by its number before printing. No string of the graph can be
    taken for one: the quotes in it are escaped, and `tensor_content` stands before all of these.
    """
    from google.protobuf import text_format

    message = to_message(graph)
    contents: list[bytes] = []
    for tensor in _tensors(message):
        if tensor.tensor_content:
            contents.append(tensor.tensor_content)
            tensor.tensor_content = str(len(contents) - 1).encode()
    text = text_format.MessageToString(message)
    for number, piece in enumerate(re.split('(?<= tensor_content: )"([0-9]+)"', text)):
        if number % 2:
            yield b'"' + _escape(contents[int(piece)]) + b'"'
        else:
            yield piece.encode()


def _tensors(message: Any) -> Iterator[Any]:
    for node in message.node:
        for attr in node.attr.values():
            if attr.HasField("tensor"):
                yield attr.tensor
            elif attr.HasField("list"):
                yield from attr.list.tensor


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
