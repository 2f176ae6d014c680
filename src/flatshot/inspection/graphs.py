"""A frozen graph: our exporter's, the original's, or another tool's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from flatshot.compiler.compile import compile_graph
from flatshot.compiler.frozen.cut import cut_frozen, dissect, postprocess_attrs
from flatshot.compiler.frozen.description import describe
from flatshot.compiler.frozen.named_operator import name_parts
from flatshot.compiler.importer import scalar_attrs
from flatshot.errors import FlatshotError
from flatshot.formats import files, graphdef, saved_model
from flatshot.formats.custom_options import Option
from flatshot.formats.detector_graph import (
    POSTPROCESS,
    POSTPROCESS_OUTPUTS,
    RAW_OUTPUTS,
    is_exported,
)
from flatshot.formats.files import StrPath
from flatshot.formats.graph_files import find_saved_model, load_graph
from flatshot.formats.graphdef import Array, Attr, Shape
from flatshot.inspection.description import Inspection, OperatorInfo, TensorInfo
from flatshot.inspection.models import describe_model


def inspect_graph(path: StrPath) -> Inspection:
    """Look into a graph of any form."""
    place = Path(path)
    kind = {".json": "TensorFlow.js graph model", ".meta": "TensorFlow graph with a checkpoint"}
    what = kind.get(place.suffix, "frozen TensorFlow graph (GraphDef)")
    if files.is_directory(place) or place.name == saved_model.FILE_NAME:
        what = f"SavedModel of TensorFlow {saved_model.made_by(find_saved_model(place))}".rstrip()
    return describe_graph(name_parts(load_graph(path)), str(path), what)


def describe_graph(graph: graphdef.Graph, path: str, kind: str) -> Inspection:
    """What `graph` holds and what becomes of it; `path` and `kind` are only repeated."""
    constants: dict[str, Array] = {}
    for node in graph:
        value = node.attrs.get("value")
        if node.op == "Const" and isinstance(value, np.ndarray):
            constants[node.name] = value
    attrs = scalar_attrs(graph.by_name[POSTPROCESS]) if POSTPROCESS in graph.by_name else {}
    base = Inspection(
        path=path,
        kind=kind,
        inputs=tuple(_placeholder(node) for node in graph if node.op == "Placeholder"),
        operators=tuple(
            OperatorInfo(node.op, node.name, (), ())
            for node in graph
            if node.op not in ("Const", "Placeholder")
        ),
        tensors=tuple(
            TensorInfo(name, str(value.dtype), value.shape, value.nbytes)
            for name, value in constants.items()
        ),
        postprocess=dict(sorted(attrs.items())),
        parameters=sum(value.size for value in constants.values() if value.dtype.kind == "f"),
        bytes=sum(value.nbytes for value in constants.values()),
    )
    found: Mapping[str, str] = {}
    detector = graph
    try:
        if not is_exported(graph):
            anatomy = dissect(graph)
            found = describe(graph, anatomy)
            base = replace(
                base,
                kind=f"{kind}, detector",
                outputs=tuple(TensorInfo(name, "", ()) for name in _loose_ends(graph)),
                postprocess=_numbers(postprocess_attrs(anatomy)),
            )
            detector = cut_frozen(graph)
        model = compile_graph(detector)
    except FlatshotError as error:
        outputs = tuple(TensorInfo(name, "", ()) for name in _loose_ends(graph))
        reason = {"as TensorFlow Lite": f"no: {error}"}
        return replace(base, outputs=outputs, facts={**found, **reason})
    described = describe_model(model.tflite, path)
    return replace(
        base,
        outputs=base.outputs or described.outputs,
        arithmetic_ops=described.arithmetic_ops,
        peak_memory=described.peak_memory,
        facts={**found, "as TensorFlow Lite": model.summary()},
    )


def _numbers(attrs: Mapping[str, Attr]) -> dict[str, Option]:
    return scalar_attrs(graphdef.Node(POSTPROCESS, POSTPROCESS, (), dict(sorted(attrs.items()))))


def _placeholder(node: graphdef.Node) -> TensorInfo:
    shape = node.attrs.get("shape")
    dims = shape.dims if isinstance(shape, Shape) and shape.dims is not None else ()
    dtype = node.attrs.get("dtype")
    name = dtype.name.removeprefix("DT_").lower() if isinstance(dtype, graphdef.DataType) else "?"
    return TensorInfo(node.name, "float32" if name == "float" else name, dims)


_SILENT = ("Assert", "NoOp", "Const")


def _loose_ends(graph: graphdef.Graph) -> list[str]:
    """The nodes that nothing reads: what an unknown graph seems to give."""
    read = {name for node in graph for name in (*node.sources, *node.controls)}
    known = [name for name in (*POSTPROCESS_OUTPUTS[:1], *RAW_OUTPUTS) if name in graph.by_name]
    ends = [node.name for node in graph if node.name not in read and node.op not in _SILENT]
    return known or ends
