"""TensorFlow Lite models: the tables of the schema, version 3, that detectors need.

Slot numbers and defaults are those of TensorFlow's `schema.fbs`; a test holds each of them against
the schema that LiteRT ships. What is not declared here (sparsity, sub-graph calls) is not read.
"""

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError
from flatshot.formats import flatbuffer
from flatshot.formats.flatbuffer import Kind, slot, string, table, tables, union, vector
from flatshot.formats.sniffing import HEAD, mistaken
from flatshot.formats.tflite_names import BUILTIN_NAMES
from flatshot.formats.tflite_sparsity import Sparsity

IDENTIFIER = b"TFL3"
VERSION = 3
# LiteRT's kernels stop at 8 dimensions, NumPy's arrays at 32.
_MAX_RANK = 32

Numbers = npt.NDArray[Any] | None


class TensorType(enum.IntEnum):
    """The element types of tensors, as the schema numbers them."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    STRING = 5
    BOOL = 6
    INT16 = 7
    COMPLEX64 = 8
    INT8 = 9
    FLOAT64 = 10
    COMPLEX128 = 11
    UINT64 = 12
    RESOURCE = 13
    VARIANT = 14
    UINT32 = 15
    UINT16 = 16
    INT4 = 17
    BFLOAT16 = 18


NUMPY_TYPES: dict[int, np.dtype[Any]] = {
    TensorType.FLOAT32: np.dtype("<f4"),
    TensorType.FLOAT16: np.dtype("<f2"),
    TensorType.INT32: np.dtype("<i4"),
    TensorType.UINT8: np.dtype("u1"),
    TensorType.INT64: np.dtype("<i8"),
    TensorType.BOOL: np.dtype("?"),
    TensorType.INT16: np.dtype("<i2"),
    TensorType.INT8: np.dtype("i1"),
    TensorType.FLOAT64: np.dtype("<f8"),
    TensorType.UINT64: np.dtype("<u8"),
    TensorType.UINT32: np.dtype("<u4"),
    TensorType.UINT16: np.dtype("<u2"),
}


class Builtin(enum.IntEnum):
    """The builtin operators that Flatshot writes or looks for."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU6 = 21
    RESHAPE = 22
    RESIZE_BILINEAR = 23
    SOFTMAX = 25
    TANH = 28
    CUSTOM = 32
    PAD = 34
    GATHER = 36
    BATCH_TO_SPACE_ND = 37
    SPACE_TO_BATCH_ND = 38
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    DIV = 42
    STRIDED_SLICE = 45
    EXP = 47
    SPLIT = 49
    CAST = 53
    MAXIMUM = 55
    MINIMUM = 57
    NEG = 59
    PADV2 = 60
    SLICE = 65
    TILE = 69
    EXPAND_DIMS = 70
    SQRT = 75
    RSQRT = 76
    SHAPE = 77
    FAKE_QUANT = 80
    PACK = 83
    UNPACK = 88
    SQUARE = 92
    FILL = 94
    RESIZE_NEAREST_NEIGHBOR = 97
    LEAKY_RELU = 98
    SQUARED_DIFFERENCE = 99
    MIRROR_PAD = 100
    ABS = 101
    ADD_N = 106
    ELU = 111
    QUANTIZE = 114
    HARD_SWISH = 117
    PLACEHOLDER_FOR_GREATER_OP_CODES = 127


class Padding(enum.IntEnum):
    """How a convolution or pooling pads its input."""

    SAME = 0
    VALID = 1


class Activation(enum.IntEnum):
    """The activation that an operator applies to its result."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3


@dataclass
class Conv2DOptions:
    """Options of CONV_2D."""

    padding: int = slot(0, Kind.I8)
    stride_w: int = slot(1, Kind.I32)
    stride_h: int = slot(2, Kind.I32)
    activation: int = slot(3, Kind.I8)
    dilation_w: int = slot(4, Kind.I32, 1)
    dilation_h: int = slot(5, Kind.I32, 1)


@dataclass
class DepthwiseConv2DOptions:
    """Options of DEPTHWISE_CONV_2D."""

    padding: int = slot(0, Kind.I8)
    stride_w: int = slot(1, Kind.I32)
    stride_h: int = slot(2, Kind.I32)
    depth_multiplier: int = slot(3, Kind.I32)
    activation: int = slot(4, Kind.I8)
    dilation_w: int = slot(5, Kind.I32, 1)
    dilation_h: int = slot(6, Kind.I32, 1)


@dataclass
class Pool2DOptions:
    """Options of AVERAGE_POOL_2D and MAX_POOL_2D."""

    padding: int = slot(0, Kind.I8)
    stride_w: int = slot(1, Kind.I32)
    stride_h: int = slot(2, Kind.I32)
    filter_w: int = slot(3, Kind.I32)
    filter_h: int = slot(4, Kind.I32)
    activation: int = slot(5, Kind.I8)


@dataclass
class SoftmaxOptions:
    """Options of SOFTMAX."""

    beta: float = slot(0, Kind.F32, 0.0)


@dataclass
class ConcatenationOptions:
    """Options of CONCATENATION."""

    axis: int = slot(0, Kind.I32)
    activation: int = slot(1, Kind.I8)


@dataclass
class AddOptions:
    """Options of ADD."""

    activation: int = slot(0, Kind.I8)


@dataclass
class SubOptions:
    """Options of SUB."""

    activation: int = slot(0, Kind.I8)


@dataclass
class MulOptions:
    """Options of MUL."""

    activation: int = slot(0, Kind.I8)


@dataclass
class DivOptions:
    """Options of DIV."""

    activation: int = slot(0, Kind.I8)


@dataclass
class ReshapeOptions:
    """Options of RESHAPE."""

    new_shape: Numbers = vector(0, Kind.I32)


@dataclass
class PadOptions:
    """Options of PAD: none."""


@dataclass
class MaximumMinimumOptions:
    """Options of MAXIMUM and MINIMUM: none."""


@dataclass
class ResizeBilinearOptions:
    """Options of RESIZE_BILINEAR; slots 0 and 1 are long out of use."""

    align_corners: bool = slot(2, Kind.BOOL)
    half_pixel_centers: bool = slot(3, Kind.BOOL)


@dataclass
class ResizeNearestNeighborOptions:
    """Options of RESIZE_NEAREST_NEIGHBOR."""

    align_corners: bool = slot(0, Kind.BOOL)
    half_pixel_centers: bool = slot(1, Kind.BOOL)


@dataclass
class ReducerOptions:
    """Options of MEAN."""

    keep_dims: bool = slot(0, Kind.BOOL)


@dataclass
class GatherOptions:
    """Options of GATHER."""

    axis: int = slot(0, Kind.I32)


@dataclass
class StridedSliceOptions:
    """Options of STRIDED_SLICE: bit k of a mask concerns entry k."""

    begin_mask: int = slot(0, Kind.I32)
    end_mask: int = slot(1, Kind.I32)
    ellipsis_mask: int = slot(2, Kind.I32)
    new_axis_mask: int = slot(3, Kind.I32)
    shrink_axis_mask: int = slot(4, Kind.I32)


@dataclass
class SplitOptions:
    """Options of SPLIT."""

    num_splits: int = slot(0, Kind.I32)


@dataclass
class PackOptions:
    """Options of PACK."""

    values_count: int = slot(0, Kind.I32)
    axis: int = slot(1, Kind.I32)


@dataclass
class UnpackOptions:
    """Options of UNPACK."""

    num: int = slot(0, Kind.I32)
    axis: int = slot(1, Kind.I32)


@dataclass
class CastOptions:
    """Options of CAST: element types."""

    in_data_type: int = slot(0, Kind.I8)
    out_data_type: int = slot(1, Kind.I8)


@dataclass
class ShapeOptions:
    """Options of SHAPE: the element type of the result."""

    out_type: int = slot(0, Kind.I8)


@dataclass
class FakeQuantOptions:
    """Options of FAKE_QUANT."""

    min: float = slot(0, Kind.F32, 0.0)
    max: float = slot(1, Kind.F32, 0.0)
    num_bits: int = slot(2, Kind.I32)
    narrow_range: bool = slot(3, Kind.BOOL)


@dataclass
class LeakyReluOptions:
    """Options of LEAKY_RELU."""

    alpha: float = slot(0, Kind.F32, 0.0)


@dataclass
class MirrorPadOptions:
    """Options of MIRROR_PAD: 0 leaves the edge out (REFLECT), 1 repeats it (SYMMETRIC)."""

    mode: int = slot(0, Kind.I8)


BUILTIN_OPTIONS: dict[int, type] = {
    1: Conv2DOptions,
    2: DepthwiseConv2DOptions,
    5: Pool2DOptions,
    9: SoftmaxOptions,
    10: ConcatenationOptions,
    11: AddOptions,
    15: ResizeBilinearOptions,
    17: ReshapeOptions,
    21: MulOptions,
    22: PadOptions,
    23: GatherOptions,
    27: ReducerOptions,
    28: SubOptions,
    29: DivOptions,
    32: StridedSliceOptions,
    35: SplitOptions,
    37: CastOptions,
    39: MaximumMinimumOptions,
    55: ShapeOptions,
    58: FakeQuantOptions,
    59: PackOptions,
    64: UnpackOptions,
    74: ResizeNearestNeighborOptions,
    75: LeakyReluOptions,
    77: MirrorPadOptions,
}
OPTIONS_TYPE = {cls: number for number, cls in BUILTIN_OPTIONS.items()}


@dataclass
class Quantization:
    """How integers of a tensor stand for real numbers: `(q - zero_point) * scale`."""

    min: Numbers = vector(0, Kind.F32)
    max: Numbers = vector(1, Kind.F32)
    scale: Numbers = vector(2, Kind.F32)
    zero_point: Numbers = vector(3, Kind.I64)
    axis: int = slot(6, Kind.I32)


@dataclass
class Tensor:
    """One tensor; `buffer` is the index of its constant bytes, empty for what is computed."""

    name: str = string(3)
    shape: Numbers = vector(0, Kind.I32)
    type: int = slot(1, Kind.I8)
    buffer: int = slot(2, Kind.U32)
    quantization: Quantization | None = table(4, lambda: Quantization)
    sparsity: Sparsity | None = table(6, lambda: Sparsity)
    is_variable: bool = slot(5, Kind.BOOL)
    shape_signature: Numbers = vector(7, Kind.I32)
    has_rank: bool = slot(8, Kind.BOOL)


@dataclass
class OperatorCode:
    """Which operator an `opcode_index` stands for.

    Files older than TensorFlow 2.4 keep the code in `deprecated_builtin_code` alone, newer readers
    look at `builtin_code`; the larger of the two is meant, and Flatshot writes both.
    """

    deprecated_builtin_code: int = slot(0, Kind.I8)
    custom_code: str = string(1)
    version: int = slot(2, Kind.I32, 1)
    builtin_code: int = slot(3, Kind.I32)

    @property
    def code(self) -> int:
        """The number of the builtin operator."""
        return max(self.deprecated_builtin_code, self.builtin_code)

    @property
    def name(self) -> str:
        """The operator's name: the custom one, or the schema's."""
        if self.code == Builtin.CUSTOM:
            return self.custom_code or "CUSTOM"
        known = 0 <= self.code < len(BUILTIN_NAMES)
        return BUILTIN_NAMES[self.code] if known else f"BUILTIN_{self.code}"


@dataclass
class Operator:
    """One operator: indices of its tensors in the sub-graph, -1 for an optional one left out."""

    opcode_index: int = slot(0, Kind.U32)
    inputs: Numbers = vector(1, Kind.I32)
    outputs: Numbers = vector(2, Kind.I32)
    options_type: int = slot(3, Kind.U8)
    options: Any = union(4, "options_type", BUILTIN_OPTIONS)
    custom_options: Numbers = vector(5, Kind.U8)
    custom_options_format: int = slot(6, Kind.I8)


@dataclass
class SubGraph:
    """Tensors, and the operators on them in the order of execution."""

    tensors: list[Tensor] = tables(0, lambda: Tensor)
    inputs: Numbers = vector(1, Kind.I32)
    outputs: Numbers = vector(2, Kind.I32)
    operators: list[Operator] = tables(3, lambda: Operator)
    name: str = string(4)


@dataclass
class Buffer:
    """Constant bytes; 16-byte aligned, as the delegates ask for."""

    data: Numbers = vector(0, Kind.U8, align=16)


@dataclass
class Metadata:
    """A named buffer."""

    name: str = string(0)
    buffer: int = slot(1, Kind.U32)


@dataclass
class TensorMap:
    """The public name of a tensor in a signature."""

    name: str = string(0)
    tensor_index: int = slot(1, Kind.U32)


@dataclass
class SignatureDef:
    """Named inputs and outputs of a sub-graph."""

    inputs: list[TensorMap] = tables(0, lambda: TensorMap)
    outputs: list[TensorMap] = tables(1, lambda: TensorMap)
    signature_key: str = string(2)
    subgraph_index: int = slot(4, Kind.U32)


@dataclass
class TFLiteModel:
    """The root of a .tflite file."""

    version: int = slot(0, Kind.U32)
    operator_codes: list[OperatorCode] = tables(1, lambda: OperatorCode)
    subgraphs: list[SubGraph] = tables(2, lambda: SubGraph)
    description: str = string(3)
    buffers: list[Buffer] = tables(4, lambda: Buffer)
    metadata: list[Metadata] = tables(6, lambda: Metadata)
    signature_defs: list[SignatureDef] = tables(7, lambda: SignatureDef)


def read_model(data: flatbuffer.Bytes) -> TFLiteModel:
    """The model in the bytes of a .tflite file; arrays are views of `data`.

    Indices are checked: of every tensor into the buffers, of every operator into the codes and the
    tensors, of sub-graph inputs and outputs into the tensors.

    Raises:
        FormatError: the bytes are no model of schema version 3, or an index points nowhere.
    """
    if bytes(data[4:8]) != IDENTIFIER:
        other = mistaken(bytes(data[:HEAD]), "a TensorFlow Lite model")
        if other is not None:
            raise FormatError(other)
    model = flatbuffer.read(TFLiteModel, data, IDENTIFIER, "TensorFlow Lite model")
    if model.version != VERSION:
        raise FormatError(f"TensorFlow Lite schema version {model.version}; only 3 is known")
    for number, graph in enumerate(model.subgraphs):
        _check_indices(model, graph, f"sub-graph {number}")
    return model


def _check_indices(model: TFLiteModel, graph: SubGraph, where: str) -> None:
    count = len(graph.tensors)
    _check_range(graph.inputs, 0, count, f"{where}: inputs")
    _check_range(graph.outputs, 0, count, f"{where}: outputs")
    for tensor in graph.tensors:
        if tensor.shape is not None and tensor.shape.size > _MAX_RANK:
            rank = tensor.shape.size
            raise FormatError(f"{where}: tensor {tensor.name!r} has {rank} dimensions")
        if tensor.buffer >= max(len(model.buffers), 1):
            raise FormatError(f"{where}: tensor {tensor.name!r} has buffer {tensor.buffer} of none")
    for number, operator in enumerate(graph.operators):
        if operator.opcode_index >= len(model.operator_codes):
            raise FormatError(f"{where}: operator {number} has an operator code out of range")
        _check_range(operator.inputs, -1, count, f"{where}: inputs of operator {number}")
        _check_range(operator.outputs, -1, count, f"{where}: outputs of operator {number}")


def _check_range(indices: Numbers, low: int, high: int, where: str) -> None:
    if indices is not None and indices.size and not low <= indices.min() <= indices.max() < high:
        raise FormatError(f"{where} point to tensors that are not there (it has {high})")


def indices(numbers: Numbers) -> list[int]:
    """The tensors that a vector of indices names, without the optional ones left out (-1)."""
    return [] if numbers is None else [int(number) for number in numbers if number >= 0]


def constant(model: TFLiteModel, tensor: Tensor) -> npt.NDArray[Any] | None:
    """The constant value of `tensor`, a view in its shape and dtype; None if it is computed.

    Raises:
        FormatError: the bytes do not fill the shape, the element type has no NumPy dtype, or the
            tensor is kept in sparse form.
    """
    data = model.buffers[tensor.buffer].data if tensor.buffer < len(model.buffers) else None
    if data is None or not data.size:
        return None
    if tensor.sparsity is not None:
        raise FormatError(f"tensor {tensor.name!r} is kept in sparse form, which is not unfolded")
    dtype = NUMPY_TYPES.get(tensor.type)
    if dtype is None:
        raise FormatError(f"tensor {tensor.name!r}: element type {tensor.type} has no NumPy dtype")
    shape = () if tensor.shape is None else tuple(int(n) for n in tensor.shape)
    try:
        return data.view(dtype).reshape(shape)
    except ValueError:
        raise FormatError(
            f"tensor {tensor.name!r}: {data.size} bytes do not fill shape {list(shape)}"
        ) from None


def write_model(model: TFLiteModel) -> memoryview:
    """The bytes of `model` as a .tflite file."""
    return flatbuffer.write(model, IDENTIFIER)
