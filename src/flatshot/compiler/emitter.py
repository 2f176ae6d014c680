"""IR -> TensorFlow Lite: the only place where values and operators become indices.

Written as today's tools read it: both fields of the builtin code, a SignatureDef, constants
aligned to 16 bytes. Tensors are sorted by name and operators keep their order, as in TOCO's files.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flatshot.compiler.importer import CUSTOM
from flatshot.compiler.ir import Graph, Op, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats import tflite
from flatshot.formats.custom_options import write_options
from flatshot.formats.graphdef import Array
from flatshot.formats.tflite import Builtin

SIGNATURE = "serving_default"
_TYPES = {dtype: number for number, dtype in tflite.NUMPY_TYPES.items()}
_MAX_FILE = 2**31 - 1


def emit(
    graph: Graph, description: str, metadata: Mapping[str, bytes] | None = None
) -> tflite.TFLiteModel:
    """The TensorFlow Lite model of `graph`, whose operators must all have a counterpart.

    Args:
        graph: what the passes have left.
        description: a line kept in the file.
        metadata: named bytes to keep in the file.

    Raises:
        UnsupportedOpError: an operator has no counterpart.
        GraphError: the constants are larger than a file can be.
    """
    values = sorted(graph.values(), key=lambda value: value.name.encode())
    index = {id(value): number for number, value in enumerate(values)}
    layouts = _layouts(graph)
    total = sum(value.data.nbytes for value in values if value.data is not None)
    if total > _MAX_FILE:
        raise GraphError(f"the constants take {total} bytes; a .tflite holds at most 2 GiB")
    # Buffer 0 is the empty one that all computed tensors share.
    buffers = [tflite.Buffer()]
    tensors = [_tensor(value, layouts.get(id(value)), buffers) for value in values]
    codes = _operator_codes(graph)
    model = tflite.TFLiteModel(
        version=tflite.VERSION,
        operator_codes=[code for _, code in sorted(codes.items())],
        description=description,
        buffers=buffers,
    )
    order = {key: number for number, key in enumerate(sorted(codes))}
    operators = [_operator(op, order[_code_key(op)], index) for op in graph.ops]
    inputs = [index[id(value)] for value in graph.inputs]
    outputs = [index[id(value)] for value in graph.outputs]
    model.subgraphs = [
        tflite.SubGraph(
            tensors=tensors,
            inputs=np.array(inputs, np.int32),
            outputs=np.array(outputs, np.int32),
            operators=operators,
            name="main",
        )
    ]
    model.signature_defs = [
        tflite.SignatureDef(
            inputs=[tflite.TensorMap(values[number].name, number) for number in inputs],
            outputs=[tflite.TensorMap(values[number].name, number) for number in outputs],
            signature_key=SIGNATURE,
        )
    ]
    for name, data in (metadata or {}).items():
        model.metadata.append(tflite.Metadata(name, len(buffers)))
        buffers.append(tflite.Buffer(np.frombuffer(data, np.uint8)))
    return model


def _layouts(graph: Graph) -> dict[int, Array]:
    """The constants as TensorFlow Lite lays them out; `separate_layouts` has run."""
    return {
        id(value): OPERATORS[op.kind].layout(number, value.data)
        for op in graph.ops
        if op.kind in OPERATORS
        for number, value in enumerate(op.inputs)
        if value.data is not None
    }


def _tensor(value: Value, laid_out: Array | None, buffers: list[tflite.Buffer]) -> tflite.Tensor:
    if value.dtype not in _TYPES:
        raise GraphError(f"{value.name!r}: TensorFlow Lite has no element type {value.dtype}")
    data = value.data if laid_out is None else laid_out
    # An unknown shape is written as an empty one, as TOCO does: the runtime fills it in.
    shape = value.shape if data is None else data.shape
    number = 0
    if data is not None:
        number = len(buffers)
        flat = np.ascontiguousarray(data).reshape(-1)
        buffers.append(tflite.Buffer(flat.view(np.uint8)))
    return tflite.Tensor(
        name=value.name,
        shape=np.array(shape or (), np.int32),
        type=int(_TYPES[value.dtype]),
        buffer=number,
        quantization=_quantization(value),
        has_rank=shape is not None,
    )


def _quantization(value: Value) -> tflite.Quantization | None:
    """Range and parameters as they are written: in float32."""
    limits, parameters = value.range, value.quantization
    if limits is None and parameters is None:
        return None
    written = tflite.Quantization()
    if limits is not None:
        written.min = np.array([limits.low], np.float32)
        written.max = np.array([limits.high], np.float32)
    if parameters is not None:
        written.scale = parameters.scale.astype(np.float32)
        written.zero_point = parameters.zero_point
        written.axis = parameters.axis
    return written


def _code_key(op: Op) -> tuple[int, str, int]:
    if op.kind == CUSTOM:
        return Builtin.CUSTOM, str(op.attrs["op"]), 1
    builtin = OPERATORS[op.kind].builtin
    if builtin is None:
        raise UnsupportedOpError(
            f"{op.kind} {op.name!r} cannot be written as a TensorFlow Lite operator here"
        )
    return builtin, "", OPERATORS[op.kind].version(op)


def _operator_codes(graph: Graph) -> dict[tuple[int, str, int], tflite.OperatorCode]:
    return {
        key: tflite.OperatorCode(
            deprecated_builtin_code=min(key[0], Builtin.PLACEHOLDER_FOR_GREATER_OP_CODES),
            custom_code=key[1],
            version=key[2],
            builtin_code=key[0],
        )
        for key in map(_code_key, graph.ops)
    }


def _operator(op: Op, code: int, index: Mapping[int, int]) -> tflite.Operator:
    operator = tflite.Operator(
        opcode_index=code,
        inputs=np.array([index[id(value)] for value in op.inputs], np.int32),
        outputs=np.array([index[id(value)] for value in op.outputs], np.int32),
    )
    if op.kind == CUSTOM:
        options = write_options(op.attrs["options"])
        operator.custom_options = np.frombuffer(options, np.uint8)
        return operator
    choice: Any = OPERATORS[op.kind].options(op)
    if choice is not None:
        operator.options_type = tflite.OPTIONS_TYPE[type(choice)]
        operator.options = choice
    return operator
