"""What a file holds: a model, a graph, a checkpoint or a configuration, in figures and words."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from flatshot.compiler.compile import compile_graph
from flatshot.compiler.cost import arithmetic_ops, operator_ops, plan_memory
from flatshot.compiler.frozen.cut import cut_frozen, dissect, postprocess_attrs
from flatshot.compiler.frozen.description import describe
from flatshot.compiler.importer import scalar_attrs
from flatshot.errors import FileError, FlatshotError, FormatError
from flatshot.formats import files, graphdef, saved_model, tflite
from flatshot.formats.checkpoint import Checkpoint, Variable
from flatshot.formats.custom_options import Option, read_options
from flatshot.formats.detector_graph import (
    ANCHORS,
    POSTPROCESS,
    POSTPROCESS_OUTPUTS,
    RAW_OUTPUTS,
    is_exported,
)
from flatshot.formats.files import StrPath
from flatshot.formats.graph_files import load_graph
from flatshot.formats.graphdef import Array, Attr, Shape
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph


@dataclass(frozen=True)
class TensorInfo:
    """A tensor; its shape is empty where only running it tells, `bytes` is 0 unless constant."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int = 0
    quantization: str = ""


@dataclass(frozen=True)
class OperatorInfo:
    """An operator with the shapes that it reads and makes, and its arithmetic operations."""

    name: str
    output: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    arithmetic_ops: int = 0


@dataclass(frozen=True)
class Inspection:
    """What a file holds. Lists are empty and figures None where they make no sense.

    Attributes:
        kind: what the file is.
        inputs: what it is fed with.
        outputs: what it gives.
        operators: one by one, in the order in which they run.
        tensors: constants and intermediate results, or the variables of a checkpoint.
        postprocess: options of the post-processing operator.
        parameters: the number of trained values.
        bytes: what the constants take.
        arithmetic_ops: of one inference, a multiply-add as two.
        peak_memory: bytes for what is computed, at its peak.
        facts: whatever else is worth a line, by title.
    """

    path: str
    kind: str
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    operators: tuple[OperatorInfo, ...] = ()
    tensors: tuple[TensorInfo, ...] = ()
    postprocess: Mapping[str, Option] = field(default_factory=dict)
    parameters: int | None = None
    bytes: int | None = None
    arithmetic_ops: int | None = None
    peak_memory: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def operator_counts(self) -> dict[str, int]:
        """How often each operator occurs, the most frequent first."""
        return dict(Counter(operator.name for operator in self.operators).most_common())


def inspect(path: StrPath) -> Inspection:
    """Look into a model, a graph, a configuration or a checkpoint.

    What a file is follows from its content and, between text formats, from its name.

    Args:
        path: a .tflite, a .pb, .pbtxt, .meta or model.json, a pipeline.config, the directory of
            a SavedModel, or the directory or prefix of a checkpoint.

    Raises:
        FileError: there is nothing to read at `path`.
        FormatError: it is none of these, or damaged.
    """
    place = Path(path)
    if place.suffix in (".meta", ".json") or (
        files.is_directory(place) and saved_model.is_saved_model(place)
    ):
        return _inspect_graph(path)
    if place.suffix in (".tflite", ".pb", ".pbtxt", ".config"):
        files.map_bytes(place)  # a file that is missing is no checkpoint prefix that is missing
    if not (files.is_file(place) or files.is_directory(place) or files.is_file(f"{path}.index")):
        raise FileError(f"there is no file, directory or checkpoint {str(path)!r}")
    if place.suffix == ".index" or not files.is_file(place) or place.name == "checkpoint":
        return _inspect_checkpoint(path)
    head = bytes(files.map_bytes(place)[:8])
    if head[4:] == tflite.IDENTIFIER or place.suffix == ".tflite":
        return inspect_model(files.map_bytes(place), str(path))
    if place.suffix == ".config":
        return _inspect_pipeline(path)
    if place.suffix in (".pb", ".pbtxt"):
        return _inspect_graph(path)
    return _inspect_unnamed(path)


def _inspect_unnamed(path: StrPath) -> Inspection:
    """A file whose name says nothing: whatever can read it says what it is."""
    for look in (_inspect_checkpoint, _inspect_graph, _inspect_pipeline):
        try:
            return look(path)
        except (FileError, FormatError):
            continue
    raise FormatError(
        f"{path}: neither a .tflite, a GraphDef, a pipeline.config nor a checkpoint; "
        "a GraphDef in text must be called *.pbtxt"
    )


# --- .tflite ------------------------------------------------------------------------------------


def inspect_model(data: bytes | memoryview, path: str = "") -> Inspection:
    """Look into the bytes of a .tflite; `path` is only repeated in the result.

    Raises:
        FormatError: they are no TensorFlow Lite model, or damaged.
    """
    try:
        model = tflite.read_model(data)
        if not model.subgraphs:
            raise FormatError("the model has no sub-graph")
        return _describe_model(model, path)
    except FormatError as error:
        raise FormatError(f"{path}: {error}" if path else str(error)) from error


def _describe_model(model: tflite.TFLiteModel, path: str) -> Inspection:
    graph = model.subgraphs[0]
    tensors = tuple(_tensor_info(model, tensor) for tensor in graph.tensors)
    constants = [
        tflite.constant(model, tensor) for tensor in graph.tensors if _has_data(model, tensor)
    ]
    postprocess: dict[str, Option] = {}
    for operator in graph.operators:
        code = model.operator_codes[operator.opcode_index]
        if code.name == POSTPROCESS and operator.custom_options is not None:
            postprocess = read_options(operator.custom_options)
    kind = "TensorFlow Lite model" + (", detector with post-processing" if postprocess else "")
    if not postprocess and (carried := _carried_options(model)):
        postprocess = carried
        kind += ", detector cut before its post-processing"
    facts = {"description": model.description}
    if model.metadata:
        facts["metadata"] = ", ".join(item.name for item in model.metadata)
    if model.signature_defs:
        facts["signatures"] = ", ".join(item.signature_key for item in model.signature_defs)
    return Inspection(
        path=path,
        kind=kind,
        inputs=tuple(tensors[n] for n in tflite.indices(graph.inputs)),
        outputs=tuple(tensors[n] for n in tflite.indices(graph.outputs)),
        operators=tuple(_operator_info(model, graph, operator) for operator in graph.operators),
        tensors=tensors,
        postprocess=postprocess,
        parameters=sum(c.size for c in constants if c is not None and c.dtype.kind in "fiu"),
        bytes=sum(c.nbytes for c in constants if c is not None),
        arithmetic_ops=arithmetic_ops(model),
        peak_memory=plan_memory(model).peak,
        facts=facts,
    )


def _carried_options(model: tflite.TFLiteModel) -> dict[str, Option]:
    """The operator's options that a cut model carries as metadata."""
    for item in model.metadata:
        data = model.buffers[item.buffer].data if item.buffer < len(model.buffers) else None
        if item.name == POSTPROCESS and data is not None:
            return read_options(data)
    return {}


def _has_data(model: tflite.TFLiteModel, tensor: tflite.Tensor) -> bool:
    data = model.buffers[tensor.buffer].data if tensor.buffer < len(model.buffers) else None
    return data is not None and data.size > 0 and tensor.type in tflite.NUMPY_TYPES


def _shape(tensor: tflite.Tensor) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _tensor_info(model: tflite.TFLiteModel, tensor: tflite.Tensor) -> TensorInfo:
    try:
        dtype = tflite.TensorType(tensor.type).name.lower()
    except ValueError:
        dtype = f"type {tensor.type}"
    data = model.buffers[tensor.buffer].data if tensor.buffer < len(model.buffers) else None
    quantization = ""
    q = tensor.quantization
    if q is not None and q.scale is not None and q.scale.size:
        zero = int(q.zero_point[0]) if q.zero_point is not None and q.zero_point.size else 0
        quantization = f"scale {float(q.scale[0]):.6g}, zero point {zero}"
        if q.scale.size > 1:
            quantization += f" ({q.scale.size} channels)"
    return TensorInfo(
        tensor.name, dtype, _shape(tensor), 0 if data is None else data.nbytes, quantization
    )


def _operator_info(
    model: tflite.TFLiteModel, graph: tflite.SubGraph, operator: tflite.Operator
) -> OperatorInfo:
    inputs = [graph.tensors[n] for n in tflite.indices(operator.inputs)]
    outputs = [graph.tensors[n] for n in tflite.indices(operator.outputs)]
    return OperatorInfo(
        name=model.operator_codes[operator.opcode_index].name,
        output=outputs[0].name if outputs else "",
        inputs=tuple(map(_shape, inputs)),
        outputs=tuple(map(_shape, outputs)),
        arithmetic_ops=operator_ops(model, graph, operator),
    )


# --- GraphDef -----------------------------------------------------------------------------------


def _inspect_graph(path: StrPath) -> Inspection:
    place = Path(path)
    kind = {".json": "TensorFlow.js graph model", ".meta": "TensorFlow graph with a checkpoint"}
    what = kind.get(place.suffix, "frozen TensorFlow graph (GraphDef)")
    if files.is_directory(place) or place.name == saved_model.FILE_NAME:
        what = "SavedModel of TensorFlow 1"
    return _describe_graph(load_graph(path), str(path), what)


def _describe_graph(graph: graphdef.Graph, path: str, kind: str) -> Inspection:
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
    described = _describe_model(model.tflite, path)
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


# --- pipeline.config ----------------------------------------------------------------------------


def _inspect_pipeline(path: StrPath) -> Inspection:
    pipeline = load_pipeline(path)
    kind = "pipeline.config of the TensorFlow Object Detection API"
    try:
        config = read_config(pipeline)
        graph = build_graph(config, None)
    except FlatshotError as error:
        return Inspection(str(path), kind, facts={"supported": f"no: {error}"})
    described = _describe_graph(graph, str(path), kind)
    count = next(tensor.shape[0] for tensor in described.tensors if tensor.name == ANCHORS)
    return Inspection(
        path=str(path),
        kind=kind,
        inputs=described.inputs,
        outputs=described.outputs,
        parameters=described.parameters,
        bytes=described.bytes,
        arithmetic_ops=described.arithmetic_ops,
        peak_memory=described.peak_memory,
        facts={
            "feature extractor": config.feature_extractor.type,
            "depth multiplier": f"{config.feature_extractor.depth_multiplier:g}",
            "classes": str(config.num_classes),
            "anchors": str(count),
            "score converter": config.score_converter,
            "score threshold": f"{config.score_threshold:g}",
            "IoU threshold": f"{config.iou_threshold:g}",
            "max_detections_per_class": str(config.max_detections_per_class),
            "max_total_detections": str(config.max_total_detections),
            "moving averages": "yes" if config.use_moving_averages else "no",
        },
    )


# --- checkpoint ---------------------------------------------------------------------------------


def _ends(checkpoint: Checkpoint, variables: Sequence[Variable]) -> dict[Path, int]:
    """How long each data file must be to hold its variables."""
    ends: dict[Path, int] = {}
    for variable in variables:
        path = checkpoint.shard_path(variable.shard)
        ends[path] = max(ends.get(path, 0), variable.offset + variable.size)
    return ends


def _state(count: int, missing: Sequence[str], short: Sequence[str]) -> str:
    """The data files in words: how many there are, or what is wrong with them."""
    problems = [f"{path} missing" for path in missing]
    problems += [f"{path} cut short, copy it again" for path in short]
    return "; ".join(problems) or str(count)


def _inspect_checkpoint(path: StrPath) -> Inspection:
    checkpoint = Checkpoint(path)
    variables = list(checkpoint.values())
    numbers = [v for v in variables if v.dtype.kind == "f"]
    shards = sorted({v.shard for v in variables})
    short = [
        str(path)
        for path, end in _ends(checkpoint, variables).items()
        if files.is_file(path) and path.stat().st_size < end
    ]
    missing = [
        str(checkpoint.shard_path(n)) for n in shards if not checkpoint.shard_path(n).is_file()
    ]
    averaged = sum(v.name.endswith("/ExponentialMovingAverage") for v in variables)
    return Inspection(
        path=str(path),
        kind="TensorFlow checkpoint, V2 (TensorBundle)",
        tensors=tuple(
            TensorInfo(v.name, v.data_type.name.removeprefix("DT_").lower(), v.shape, v.size)
            for v in variables
        ),
        parameters=sum(math.prod(v.shape) for v in numbers),
        bytes=sum(v.size for v in variables),
        facts={
            "prefix": checkpoint.prefix,
            "variables": str(len(variables)),
            "data files": _state(len(shards), missing, short),
            "moving averages": str(averaged) if averaged else "none",
        },
    )


def as_json(inspection: Inspection) -> dict[str, Any]:
    """The inspection in values that JSON knows, with the operators counted as well."""
    return {**asdict(inspection), "operator_counts": inspection.operator_counts}
