"""A .tflite, of anybody's."""

from flatshot.compiler.cost import arithmetic_ops, operator_ops, plan_memory
from flatshot.errors import FormatError
from flatshot.formats import model_metadata, tflite
from flatshot.formats.custom_options import Option, read_options
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.inspection.description import Inspection, OperatorInfo, TensorInfo
from flatshot.runtime.accelerators import compiled_for


def inspect_model(data: bytes | memoryview, path: str = "") -> Inspection:
    """Look into the bytes of a .tflite; `path` is only repeated in the result.

    Raises:
        FormatError: they are no TensorFlow Lite model, or damaged.
    """
    try:
        model = tflite.read_model(data)
        if not model.subgraphs:
            raise FormatError("the model has no sub-graph")
        return describe_model(model, path)
    except FormatError as error:
        raise FormatError(f"{path}: {error}" if path else str(error)) from error


def describe_model(model: tflite.TFLiteModel, path: str) -> Inspection:
    """What `model` holds; `path` is only repeated."""
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
    facts = {"description": model.description, **_more_facts(model)}
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
        bytes=sum(c.nbytes for c in constants if c is not None) + _sparse_bytes(model),
        arithmetic_ops=arithmetic_ops(model),
        peak_memory=plan_memory(model).peak,
        facts=facts,
    )


def _more_facts(model: tflite.TFLiteModel) -> dict[str, str]:
    """What is unusual about a model: whom it was compiled for, sparse weights, its pixels."""
    facts = {}
    if (reason := compiled_for(model)) is not None:
        facts["accelerator"] = reason
    sparse = [tensor for tensor in model.subgraphs[0].tensors if tensor.sparsity is not None]
    if sparse:
        facts["sparse"] = f"{len(sparse)} tensors hold only their values that are not 0"
    data = _metadata(model, model_metadata.NAME)
    if data is None:
        return facts
    try:
        metadata = model_metadata.read_model_metadata(data.tobytes())
        inputs = [model.subgraphs[0].tensors[n] for n in tflite.indices(model.subgraphs[0].inputs)]
        channels = _shape(inputs[0])[-1] if inputs and _shape(inputs[0]) else 1
        told = model_metadata.input_normalization(metadata, channels)
    except FormatError as error:
        return {**facts, "normalization": f"damaged: {error}"}
    if told is not None:
        mean, std = (
            ", ".join(f"{n:g}" for n in (part if len(set(part)) > 1 else part[:1]))
            for part in (told.mean, told.std)
        )
        facts["normalization"] = f"(pixel - {mean}) / {std}, says TensorFlow's metadata"
    return facts


def _metadata(model: tflite.TFLiteModel, name: str) -> tflite.Numbers:
    """The bytes of the metadata of that name, or None."""
    for item in model.metadata:
        if item.name == name and item.buffer < len(model.buffers):
            return model.buffers[item.buffer].data
    return None


def _carried_options(model: tflite.TFLiteModel) -> dict[str, Option]:
    """The operator's options that a cut model carries as metadata."""
    data = _metadata(model, POSTPROCESS)
    return {} if data is None else read_options(data)


def _has_data(model: tflite.TFLiteModel, tensor: tflite.Tensor) -> bool:
    if tensor.sparsity is not None:
        return False
    data = model.buffers[tensor.buffer].data if tensor.buffer < len(model.buffers) else None
    return data is not None and data.size > 0 and tensor.type in tflite.NUMPY_TYPES


def _sparse_bytes(model: tflite.TFLiteModel) -> int:
    """What the values of tensors in sparse form take."""
    buffers = {t.buffer for t in model.subgraphs[0].tensors if t.sparsity is not None}
    held = (model.buffers[number].data for number in buffers if number < len(model.buffers))
    return sum(data.nbytes for data in held if data is not None)


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
