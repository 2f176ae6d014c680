"""TensorFlow.js graph models: `model.json` with its weight shards, as a GraphDef.

The topology is a GraphDef in JSON whose constants have no values; the manifest beside it says in
which files, one after another, their bytes lie, and how they are quantised. Source: the `io_types`
and `weights_loader` of TensorFlow.js, and the converter's `write_weights.py`.
"""

import base64
import binascii
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from flatshot.errors import FormatError, GraphError, UnsupportedError
from flatshot.formats import files
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import (
    MAX_RANK,
    MAX_TENSOR_BYTES,
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
from flatshot.formats.inlining import inline
from flatshot.formats.json_text import parse_json
from flatshot.formats.sniffing import HEAD, kind_of, mistaken

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "bool": np.dtype("?"),
}
_QUANTIZED = ("uint8", "uint16", "float16")


# What damaged JSON makes of the code that reads it.
_DAMAGE = (AttributeError, LookupError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Weight:
    """One entry of the manifest.

    Attributes:
        name: of the constant.
        shape: of the constant.
        dtype: of the constant.
        stored: the element type in the file; None for strings, which stand with their lengths.
        scale: of quantised numbers `q * scale + least`; None where they are not quantised so.
        least: see `scale`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype[Any] | None
    scale: float | None = None
    least: float = 0.0


def load_model(path: StrPath) -> Graph:
    """The graph in the `model.json` at `path`, with the weights from the files beside it.

    Raises:
        FileError: a file is missing or unreadable.
        FormatError: it is no graph model, or the weights do not fill their files.
        GraphError: functions of it call themselves, or make too many nodes.
        UnsupportedError: it is a Keras model.
    """
    try:
        return read_model(bytes(files.map_bytes(path)), _Shards(Path(path).parent))
    except (FormatError, GraphError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


def fill_in(graph: Graph, manifest: Any, folder: StrPath) -> Graph:
    """`graph` with the values of its constants from the weight files in `folder`.

    Raises:
        FileError: a file is missing or unreadable.
        FormatError: the manifest is damaged, or has no weights for a constant.
    """
    weights = _read_weights({"weightsManifest": manifest}, _Shards(Path(folder)))
    nodes = []
    for node in graph:
        if node.op == "Const":
            if node.name not in weights:
                raise FormatError(f"the constant {node.name!r} has no weights in the manifest")
            attrs = {**node.attrs, "value": weights[node.name]}
            nodes.append(Node(node.name, node.op, node.inputs, attrs))
        else:
            nodes.append(node)
    return Graph(tuple(nodes), graph.library)


class _Shards:
    """The weight files beside a model, one view for all the paths of a group."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, paths: list[str]) -> memoryview:
        views = [files.map_bytes(self._folder / self._beside(path)) for path in paths]
        return views[0] if len(views) == 1 else memoryview(b"".join(views))

    @staticmethod
    def _beside(path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
            raise FormatError(f"its weights lie at {path!r}, outside its folder")
        return path


def read_model(text: str | bytes, shards: Any) -> Graph:
    """The graph in the text of a `model.json`.

    Args:
        text: JSON.
        shards: from the paths of a group of weights to their bytes, one file after another.

    Raises:
        FormatError: it is no graph model, or the weights do not fill their files.
        GraphError: functions of it call themselves, or make too many nodes.
        UnsupportedError: it is a Keras model.
    """
    model = _parse(text)
    topology = model.get("modelTopology")
    if not isinstance(topology, dict):
        raise FormatError("it has no modelTopology; give the model.json of a TensorFlow.js model")
    if "node" not in topology:
        raise UnsupportedError(
            "it is a layers model of Keras; convert it with tensorflowjs_converter "
            "--output_format=tfjs_graph_model, or from the SavedModel it was made of"
        )
    weights = _read_weights(model, shards)
    try:
        nodes = tuple(_read_node(node, weights) for node in topology["node"])
    except _DAMAGE as error:
        raise FormatError(f"a node of it is damaged: {error!r}") from error
    names = {node.name for node in nodes}
    if not nodes or len(names) < len(nodes):
        raise FormatError("it has no nodes" if not nodes else "two of its nodes have one name")
    return inline(Graph(nodes, _read_library(topology, weights)))


def _parse(text: str | bytes) -> dict[str, Any]:
    try:
        model = parse_json(text)
    except FormatError as error:
        data = text[:HEAD].encode("utf-8", "replace") if isinstance(text, str) else text
        other = mistaken(data, "the model.json of a TensorFlow.js model")
        if other is None or kind_of(data) == "a JSON file":
            raise
        raise FormatError(other) from error
    if not isinstance(model, dict):
        raise FormatError("its JSON is no object")
    return model


# --- weights ------------------------------------------------------------------------------------


def _read_weights(model: dict[str, Any], shards: Any) -> dict[str, Array]:
    found: dict[str, Array] = {}
    try:
        groups = [
            ([str(path) for path in group["paths"]], [_entry(item) for item in group["weights"]])
            for group in model.get("weightsManifest", [])
        ]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"its weightsManifest is damaged: {error!r}") from error
    for paths, weights in groups:
        found.update(_split_weights(shards(paths), weights))
    return found


def _entry(item: Mapping[str, Any]) -> Weight:
    name, dtype = str(item["name"]), str(item["dtype"])
    shape = tuple(int(size) for size in item["shape"])
    if min(shape, default=0) < 0 or len(shape) > MAX_RANK:
        raise FormatError(f"the weights {name!r} cannot have shape {list(shape)}")
    if math.prod(size or 1 for size in shape) * 8 > MAX_TENSOR_BYTES:
        raise FormatError(f"the weights {name!r} of shape {list(shape)} are too large")
    quantization = item.get("quantization")
    if dtype == "string":
        return Weight(name, shape, dtype, None)
    if dtype not in _DTYPES:
        raise UnsupportedError(f"the weights {name!r} have the element type {dtype!r}")
    if not quantization:
        return Weight(name, shape, dtype, _DTYPES[dtype])
    stored = str(quantization["dtype"])
    if stored not in _QUANTIZED:
        raise UnsupportedError(f"the weights {name!r} are quantised to {stored!r}")
    if stored == "float16":
        return Weight(name, shape, dtype, _DTYPES[stored])
    scale, least = float(quantization["scale"]), float(quantization["min"])
    return Weight(name, shape, dtype, _DTYPES[stored], scale, least)


def _split_weights(data: memoryview, weights: list[Weight]) -> Iterator[tuple[str, Array]]:
    position = 0
    for weight in weights:
        if weight.stored is None:
            value, position = _read_strings(data, position, weight)
        else:
            size = math.prod(weight.shape) * weight.stored.itemsize
            part = data[position : position + size]
            if len(part) < size:
                raise FormatError(f"its weight files end before {weight.name!r}")
            value = _restore(np.frombuffer(part, weight.stored).reshape(weight.shape), weight)
            position += size
        yield weight.name, value
    if position != len(data):
        raise FormatError(f"its weight files have {len(data) - position} bytes too many")


def _restore(stored: Array, weight: Weight) -> Array:
    """The numbers that `stored` stands for, as TensorFlow.js has them."""
    dtype = _DTYPES[weight.dtype]
    if weight.scale is None:
        return stored.astype(dtype, copy=False)
    with np.errstate(all="ignore"):  # an infinity is a value like any other
        real = stored.astype(np.float32) * np.float32(weight.scale) + np.float32(weight.least)
        if dtype.kind in "iu":
            real = np.nan_to_num(np.round(real), posinf=0, neginf=0)
        return np.asarray(real, dtype)


def _read_strings(data: memoryview, position: int, weight: Weight) -> tuple[Array, int]:
    """Strings stand one after another, each behind its length in four bytes."""
    count = math.prod(weight.shape)
    if count > len(data):
        raise FormatError(f"its weight files end before {weight.name!r}")
    values = np.empty(count, object)
    for number in range(count):
        length = int.from_bytes(data[position : position + 4], "little")
        values[number] = bytes(data[position + 4 : position + 4 + length])
        position += 4 + length
    if position > len(data):
        raise FormatError(f"its weight files end before {weight.name!r}")
    return values.reshape(weight.shape), position


# --- nodes --------------------------------------------------------------------------------------


def _read_node(item: Mapping[str, Any], weights: Mapping[str, Array]) -> Node:
    name, op = str(item["name"]), str(item["op"])
    attrs: dict[str, Attr] = {}
    for key, value in (item.get("attr") or {}).items():
        read = _read_attr(value, f"node {name!r}, attribute {key!r}")
        if read is not None:
            attrs[key] = read
    if op == "Const":
        if name not in weights:
            raise FormatError(f"the constant {name!r} has no weights in the manifest")
        attrs["value"] = weights[name]
    return Node(name, op, tuple(str(text) for text in item.get("input") or ()), attrs)


def _read_library(topology: Mapping[str, Any], weights: Mapping[str, Array]) -> Library:
    """The functions that nodes may call."""
    try:
        items = (topology.get("library") or {}).get("function") or ()
        return Library(
            {
                str(item["signature"]["name"]): functools.partial(_read_function, item, weights)
                for item in items
            }
        )
    except _DAMAGE as error:
        raise FormatError(f"its library of functions is damaged: {error!r}") from error


def _read_function(item: Mapping[str, Any], weights: Mapping[str, Array]) -> Function:
    try:
        signature, ret = item["signature"], item.get("ret") or {}
        return Function(
            arguments=tuple(str(each["name"]) for each in signature.get("inputArg") or ()),
            nodes=tuple(_read_node(node, weights) for node in item.get("nodeDef") or ()),
            results=tuple(str(ret[each["name"]]) for each in signature.get("outputArg") or ()),
        )
    except _DAMAGE as error:
        raise FormatError(f"it is damaged: {error!r}") from error


def _read_attr(value: Mapping[str, Any], where: str) -> Attr | None:
    """One attribute; None for what a plain graph has no use for (constants' values)."""
    for kind, content in value.items():
        if kind == "func":
            return Call(str((content or {}).get("name", "")))
        if kind == "list":
            return _read_list(content or {}, where)
        if kind in _KINDS:
            return _read_scalar(kind, content, where)
    return None


_KINDS = ("s", "i", "f", "b", "type", "shape")


def _read_list(content: Mapping[str, Any], where: str) -> list[Any]:
    for kind, items in content.items():
        if kind in _KINDS and items:
            return [_read_scalar(kind, item, where) for item in items]
    return []


def _read_scalar(kind: str, content: Any, where: str) -> Attr:
    if kind == "s":
        return _read_bytes(content, where)
    if kind == "i":
        return _integer(content)
    if kind == "f":
        return float(content)
    if kind == "b":
        return content is True or content == "true"
    if kind == "type":
        return DataType[content] if isinstance(content, str) else DataType(int(content) % 100)
    return _read_shape(content or {})


def _integer(content: Any) -> int:
    number = int(content)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} does not fit 64 bits")
    return number


def _read_bytes(content: Any, where: str) -> bytes:
    """Bytes in base64; models of before 2019 have them as a list of numbers."""
    try:
        if isinstance(content, list):
            return bytes(content)
        return base64.b64decode(str(content), validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise FormatError(f"{where}: {content!r:.60} is not base64") from error


def _read_shape(content: Mapping[str, Any]) -> Shape:
    if content.get("unknownRank"):
        return Shape(None)
    return Shape(tuple(_integer(dim.get("size", 0)) for dim in content.get("dim") or ()))
