"""SavedModel directories and `.meta` files: graphs whose weights lie in a bundle.

Both hold a MetaGraphDef: a graph with variables in it, and the names of its inputs and outputs.
Reading one here freezes it: each variable becomes a constant of its value, and what only serves
saving and training goes. Sources: `tensorflow/core/protobuf/{saved_model,meta_graph}.proto`.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flatshot.errors import FileError, FormatError, GraphError, UnsupportedError
from flatshot.formats import files, graphdef, protobuf
from flatshot.formats.checkpoint import Checkpoint, Variables
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.inlining import inline, inline_call
from flatshot.formats.object_graph import load_object_graph

FILE_NAME = "saved_model.pb"
_SERVING = "serve"
# What `export_inference_graph.py` calls what the graph is for.
_DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
_VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
# The signature that exporters of TensorFlow 2 give, if there are others.
_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class MetaGraph:
    """A graph with variables in it.

    Attributes:
        graph: its nodes.
        tags: what it is for; "serve" for inference.
        outputs: the nodes that its signatures name as outputs.
        results: the tensors that the signature to be served gives, by what it calls them.
        restore: the node that fills the variables from a bundle; empty where none is named.
    """

    graph: Graph
    tags: tuple[str, ...]
    outputs: tuple[str, ...]
    results: Mapping[str, str] = field(default_factory=dict)
    restore: str = ""


def is_saved_model(path: StrPath) -> bool:
    """Whether `path` is the directory of a SavedModel, or the `saved_model.pb` in one."""
    return files.is_file(_model_file(path))


def _model_file(path: StrPath) -> Path:
    place = Path(path)
    return place if place.name == FILE_NAME else place / FILE_NAME


def load_saved_model(path: StrPath) -> Graph:
    """The frozen graph of a SavedModel, cut down to what its signatures give.

    Args:
        path: the directory, or the `saved_model.pb` in it; the variables lie in `variables/`.

    Raises:
        FileError: a file is missing or unreadable.
        FormatError: a file is damaged.
        GraphError: functions in it call themselves, or make too many nodes.
        UnsupportedError: it calls a function that is not there.
    """
    place = _model_file(path)
    try:
        meta = _serving(read_saved_model(files.map_bytes(place)))
        bundle = place.parent / "variables" / "variables"
        has_variables = any(node.op in _VARIABLES for node in meta.graph)
        return freeze(meta, Checkpoint(bundle) if has_variables else {})  # type: ignore[arg-type]
    except (FormatError, GraphError, UnsupportedError) as error:
        raise type(error)(f"{place}: {error}") from error


def made_by(path: StrPath) -> str:
    """The version of TensorFlow that wrote a SavedModel; empty where it does not say.

    Raises:
        FileError: there is no such file.
        FormatError: it is no SavedModel.
    """
    message = _parse("SavedModel", files.map_bytes(_model_file(path)), "SavedModel")
    versions = (meta.meta_info_def.tensorflow_version for meta in message.meta_graphs)
    return next(filter(None, versions), "")


def load_meta_graph(path: StrPath) -> Graph:
    """The frozen graph of a `.meta` file, with the variables of the checkpoint beside it.

    Raises:
        FileError: a file is missing or unreadable.
        FormatError: a file is damaged.
        GraphError: functions in it call themselves, or make too many nodes.
        UnsupportedError: it calls a function that is not there.
    """
    place = Path(path)
    try:
        meta = _read_meta_graph(_parse("MetaGraphDef", files.map_bytes(place), "MetaGraphDef"))
        return freeze(meta, Checkpoint(str(place).removesuffix(".meta")))
    except (FormatError, GraphError, UnsupportedError) as error:
        raise type(error)(f"{place}: {error}") from error


def read_saved_model(data: bytes | memoryview) -> list[MetaGraph]:
    """The graphs in the bytes of a `saved_model.pb`.

    Raises:
        FormatError: they are no SavedModel.
    """
    message = _parse("SavedModel", data, "SavedModel")
    if not message.meta_graphs:
        raise FormatError("not a SavedModel: it has no graph")
    return [_read_meta_graph(meta) for meta in message.meta_graphs]


def _parse(name: str, data: bytes | memoryview, what: str) -> Any:
    return protobuf.parse_binary(_messages()[name], data, what)


def _read_meta_graph(message: Any) -> MetaGraph:
    graph = graphdef.read_binary(message.graph_def)
    outputs: dict[str, None] = {}
    for signature in message.signature_def.values():
        for tensor in signature.outputs.values():
            outputs[graphdef.parse_tensor(tensor.name).node] = None
    known = [name for name in outputs if name in graph.by_name]
    return MetaGraph(
        graph,
        tuple(message.meta_info_def.tags),
        tuple(sorted(known)),
        _results(message, graph),
        message.saver_def.restore_op_name,
    )


def _results(message: Any, graph: Graph) -> dict[str, str]:
    """The tensors of the signature to be served, or of all that there are."""
    names = [_SIGNATURE] if _SIGNATURE in message.signature_def else sorted(message.signature_def)
    return {
        key: tensor.name
        for name in names
        for key, tensor in sorted(message.signature_def[name].outputs.items())
        if graphdef.parse_tensor(tensor.name).node in graph.by_name
    }


def _serving(graphs: Sequence[MetaGraph]) -> MetaGraph:
    return next((meta for meta in graphs if _SERVING in meta.tags), graphs[0])


# --- freezing -----------------------------------------------------------------------------------


def freeze(meta: MetaGraph, variables: Variables) -> Graph:
    """The graph with the values of its variables for constants, as far as its outputs need it.

    Raises:
        FileError: the variables that it needs are not there.
        GraphError: its functions call themselves, or make too many nodes.
        UnsupportedError: it calls a function that is not there.
    """
    graph = inline(meta.graph, meta.results)
    names = meta.outputs if graph is meta.graph else tuple(meta.results)
    outputs = names or tuple(name for name in _DETECTIONS if name in graph.by_name)
    needed = _needed(graph, outputs) if outputs else {node.name for node in graph}
    keys = _saved_names(graph)
    if graph is not meta.graph:
        keys |= _restored_names(meta, keys, variables)
    missing = [
        keys[node.name]
        for node in graph
        if node.name in needed and node.op in _VARIABLES and keys[node.name] not in variables
    ]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise FileError(f"the checkpoint lacks {', '.join(missing[:3])}{more}: is it this model's?")
    nodes = (node for node in graph if node.name in needed)
    return Graph(tuple(_frozen(node, keys, variables) for node in nodes))


def _needed(graph: Graph, outputs: Sequence[str]) -> set[str]:
    waiting = list(outputs)
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in graph.by_name:
            continue
        found.add(name)
        waiting += graph.by_name[name].sources
    return found


def _frozen(node: Node, keys: Mapping[str, str], variables: Variables) -> Node:
    if node.op in _VARIABLES:
        return Node(node.name, "Const", (), {"value": variables.read(keys[node.name])})
    if node.op == "ReadVariableOp":
        return Node(node.name, "Identity", node.data_inputs)
    return Node(node.name, node.op, node.data_inputs, node.attrs)


def _saved_names(graph: Graph) -> dict[str, str]:
    """Under which name each variable is saved, by the name of its node.

    What the graph's own saver assigns to it settles that; else its shared name, else its own.
    """
    names = {}
    for node in graph:
        if node.op in _VARIABLES:
            shared = node.attrs.get("shared_name")
            text = shared.decode(errors="replace") if isinstance(shared, bytes) else ""
            names[node.name] = text or node.name
    for variable, name in _assigned(graph):
        if variable in names:
            names[variable] = name
    return names


def _restored_names(meta: MetaGraph, variables: Iterable[str], bundle: Variables) -> dict[str, str]:
    """Under which key each variable of TensorFlow 2 is saved, by the name of its node.

    The function that restores them says so; without one the object graph of the bundle knows their
    full names.
    """
    if meta.restore in meta.graph.by_name:
        restore = inline_call(meta.graph, meta.restore)
        return {node: key for node, key in _assigned(restore) if node in set(variables)}
    known = load_object_graph(bundle) if isinstance(bundle, Checkpoint) else None
    return (
        {}
        if known is None
        else {name: known.keys[name] for name in variables if name in known.keys}
    )


def _assigned(graph: Graph) -> Iterator[tuple[str, str]]:
    """The variables that RestoreV2 fills, with the names it reads."""
    for node in graph:
        if node.op not in ("Assign", "AssignVariableOp") or len(node.data_inputs) < 2:
            continue
        tensor = graphdef.parse_tensor(node.data_inputs[1])
        restore = graph.by_name.get(tensor.node)
        seen = set()
        while restore is not None and restore.op == "Identity" and restore.data_inputs:
            if restore.name in seen:
                raise FormatError(f"{restore.name!r} waits for itself: the graph is damaged")
            seen.add(restore.name)
            tensor = graphdef.parse_tensor(restore.data_inputs[0])
            restore = graph.by_name.get(tensor.node)
        if restore is None or restore.op != "RestoreV2" or len(restore.data_inputs) < 2:
            continue
        source = graph.by_name.get(restore.sources[1])
        listed = source.attrs.get("value") if source is not None else None
        if not (isinstance(listed, np.ndarray) and listed.dtype == object):
            continue
        if tensor.number < listed.size:
            name = bytes(listed.reshape(-1)[tensor.number]).decode(errors="replace")
            yield node.sources[0], name


@functools.cache
def _messages() -> dict[str, Any]:
    # A graph is kept as its bytes: `graphdef` reads those.
    return protobuf.message_classes(
        "tensorflow.saved_model",
        "proto3",
        {
            "SavedModel": [
                "int64 saved_model_schema_version = 1",
                "repeated MetaGraphDef meta_graphs = 2",
            ],
            "MetaGraphDef": [
                "MetaInfoDef meta_info_def = 1",
                "bytes graph_def = 2",
                "SaverDef saver_def = 3",
                "map<string, SignatureDef> signature_def = 5",
            ],
            "MetaInfoDef": ["repeated string tags = 4", "string tensorflow_version = 5"],
            "SaverDef": ["string restore_op_name = 3"],
            "SignatureDef": [
                "map<string, TensorInfo> inputs = 1",
                "map<string, TensorInfo> outputs = 2",
                "string method_name = 3",
            ],
            "TensorInfo": ["string name = 1", "int32 dtype = 2"],
        },
    )
