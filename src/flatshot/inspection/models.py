"""A .tflite, of anybody's."""

from flatshot.compiler.cost import arithmetic_ops, operator_ops, plan_memory
from flatshot.errors import FormatError
from flatshot.formats import tflite
from flatshot.formats.custom_options import Option, read_options
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.inspection.description import Inspection, OperatorInfo, TensorInfo


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
