"""Whether a model is put together as LiteRT's kernels take for granted.

LiteRT checks much of what it reads, and not all: an input of -1 where the kernel expects a tensor,
another operator's code over this one's options, an element type that changes on the way end its
process, and with it Python's. Here such models are refused, in a few milliseconds, before LiteRT
sees them. What only running shows is left to `trial`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError, ModelError
from flatshot.formats import tflite
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.tflite import Builtin, Operator, SubGraph, Tensor, TensorType, TFLiteModel
from flatshot.runtime.verifier.growth import FREE, elements
from flatshot.runtime.verifier.operators import (
    LETTERS,
    POSTPROCESS_SIGNATURE,
    SIGNATURES,
    WEIGHTED,
    WEIGHTS,
    Signature,
)

# LiteRT's kernels count dimensions up to 8, and many of them elements and bytes in 32 bits.
_MAX_RANK = 8
_MAX_BYTES = 2**31 - 1
_DENSIFY = 124
_REAL = {TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8}
# Bits of an element where it has no NumPy type of its own.
_BITS: dict[int, int] = {
    TensorType.INT4: 4,
    TensorType.BFLOAT16: 16,
    TensorType.COMPLEX64: 64,
    TensorType.COMPLEX128: 128,
}


def verify(model: TFLiteModel) -> None:
    """Refuse `model` unless it is put together as LiteRT's kernels take for granted.

    Raises:
        ModelError: an operator has inputs, outputs, options or element types that are not its own,
            reads what nothing computes, or a tensor cannot be; the message says which.
    """
    if not model.subgraphs:
        raise ModelError("the model has no sub-graph")
    for number, graph in enumerate(model.subgraphs):
        where = "" if number == 0 else f"sub-graph {number}: "
        try:
            _Verifier(model, graph).run()
        except (FormatError, ModelError) as error:
            raise ModelError(f"{where}{error}") from error


class _Verifier:
    def __init__(self, model: TFLiteModel, graph: SubGraph) -> None:
        self.model = model
        self.graph = graph
        self.ready: set[int] = set()  # tensors that have a value by now
        self.odd: set[int] = set()  # constants whose bytes do not fill their shape: sparse ones

    def run(self) -> None:
        for index, tensor in enumerate(self.graph.tensors):
            _check_tensor(tensor)
            if held := self._held(tensor):
                self.ready.add(index)
                if held != -(-_count(tensor) * _element_bits(tensor) // 8):
                    self.odd.add(index)
        for index in _indices(self.graph.inputs):
            self._make(index, "an input of the model")
        for number, operator in enumerate(self.graph.operators):
            self._check_operator(number, operator)
        for index in _indices(self.graph.outputs):
            if index not in self.ready:
                raise ModelError(f"nothing computes the output {self._name(index)}")

    def _name(self, index: int) -> str:
        return repr(self.graph.tensors[index].name)

    def _make(self, index: int, what: str) -> None:
        if index in self.ready:
            raise ModelError(f"tensor {self._name(index)} is {what} and has a value before")
        self.ready.add(index)

    def _held(self, tensor: Tensor) -> int:
        """How many bytes of constant a tensor has; 0 for one that is computed."""
        buffers = self.model.buffers
        return _size(buffers[tensor.buffer].data) if tensor.buffer < len(buffers) else 0

    def _check_operator(self, number: int, operator: Operator) -> None:
        code = self.model.operator_codes[operator.opcode_index]
        where = f"operator {number}, {code.name}"
        signature = SIGNATURES.get(code.code)
        if code.code == Builtin.CUSTOM and code.custom_code == POSTPROCESS:
            signature = POSTPROCESS_SIGNATURE
        if signature is None:
            raise ModelError(f"{where}: it is none of the operators that are run here")
        inputs, outputs = _indices(operator.inputs), _indices(operator.outputs)
        _check_counts(where, signature, inputs, outputs)
        self._check_options(where, signature, operator, code.code)
        for place, index in enumerate(inputs):
            self._check_read(where, signature, place, index)
            if index in self.odd and code.code != _DENSIFY:
                raise ModelError(f"{where}: the bytes of {self._name(index)} do not fill its shape")
        self._check_elements(where, signature, inputs, outputs)
        if (places := WEIGHTED.get(code.code)) is not None:
            self._check_weights(where, [_at(inputs, place) for place in places])
        if signature is POSTPROCESS_SIGNATURE:
            self._check_postprocess(where, inputs)
        elif min(inputs) >= 0:
            self._check_growth(where, code.code, inputs, outputs[0])
        for index in outputs:
            self._make(index, f"an output of {where}")

    def _check_read(self, where: str, signature: Signature, place: int, index: int) -> None:
        if index < 0:
            if place not in signature.optional:
                raise ModelError(f"{where}: its input {place} is missing")
        elif index not in self.ready and not self._is_empty_list(signature, place, index):
            raise ModelError(f"{where}: it reads {self._name(index)}, which nothing computed yet")

    def _is_empty_list(self, signature: Signature, place: int, index: int) -> bool:
        """Whether an input is a list of sizes or axes that has none, which takes no bytes."""
        tensor = self.graph.tensors[index]
        letter = signature.inputs[min(place, len(signature.inputs) - 1)]
        return letter in "is" and tensor.shape is not None and 0 in tensor.shape

    def _check_options(
        self, where: str, signature: Signature, operator: Operator, code: int
    ) -> None:
        kind = operator.options_type
        if kind not in (0, signature.options):
            raise ModelError(f"{where}: its options are of another operator (table {kind})")
        if signature.needs_options and kind == 0:
            raise ModelError(f"{where}: it has no options")
        check = _OPTIONS.get(code)
        if check is not None and operator.options is not None:
            wrong = check(operator.options, operator)
            if wrong:
                raise ModelError(f"{where}: {wrong}")

    def _check_elements(
        self, where: str, signature: Signature, inputs: Sequence[int], outputs: Sequence[int]
    ) -> None:
        shared: int | None = None
        for letters, indices in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for place, index in enumerate(indices):
                if index < 0:
                    continue
                letter = letters[min(place, len(letters) - 1)]
                element = self.graph.tensors[index].type
                if letter == "v" and shared is None:
                    shared = element
                allowed = {shared} if letter == "v" else LETTERS[letter]
                if element not in allowed or element not in LETTERS["a"]:
                    raise ModelError(
                        f"{where}: {self._name(index)} has element type {_type_name(element)}, "
                        "which does not go together with the others"
                    )

    def _check_growth(self, where: str, code: int, inputs: Sequence[int], output: int) -> None:
        tensors = [self.graph.tensors[index] for index in inputs]
        count = elements(code, [_shape(t) for t in tensors], [self._sizes(t) for t in tensors])
        if count is not None and FREE < count != _count(self.graph.tensors[output]):
            raise ModelError(
                f"{where}: it makes {count} elements, and {self._name(output)} is declared with "
                f"shape {list(_shape(self.graph.tensors[output]))}"
            )

    def _sizes(self, tensor: Tensor) -> npt.NDArray[np.int64] | None:
        """The value of a constant that holds sizes."""
        if tensor.type not in (TensorType.INT32, TensorType.INT64) or _count(tensor) > 64:
            return None
        value = tflite.constant(self.model, tensor)
        return None if value is None else value.astype(np.int64)

    def _check_weights(self, where: str, indices: Sequence[int]) -> None:
        values, *others = (self.graph.tensors[k].type if k >= 0 else None for k in indices)
        if values not in WEIGHTS:
            raise ModelError(f"{where}: it does not run on {_type_name(values)}")
        for element, allowed in zip(others, WEIGHTS[values], strict=True):
            if element is not None and element not in allowed:
                raise ModelError(
                    f"{where}: weights or bias of {_type_name(element)} do not go together "
                    f"with values of {_type_name(values)}"
                )

    def _check_postprocess(self, where: str, inputs: Sequence[int]) -> None:
        boxes, classes, anchors = (self.graph.tensors[index] for index in inputs)
        elements = {boxes.type, classes.type, anchors.type}
        if not elements <= _REAL or (TensorType.FLOAT32 in elements and len(elements) > 1):
            raise ModelError(
                f"{where}: boxes, scores and anchors of "
                f"{', '.join(_type_name(t.type) for t in (boxes, classes, anchors))}; they must "
                "all be float32, or all 8 bits wide"
            )
        fit_postprocess(*(_shape(tensor) for tensor in (boxes, classes, anchors)))


def fit_postprocess(boxes: Sequence[int], classes: Sequence[int], anchors: Sequence[int]) -> None:
    """Refuse shapes with which TFLite_Detection_PostProcess would read outside its inputs.

    Raises:
        ModelError: they are not [1, n, 4 or more], [1, n, c] and [n, 4].
    """
    fit = (
        (len(boxes), len(classes), len(anchors)) == (3, 3, 2)
        and boxes[0] == classes[0] == 1
        and boxes[1] == classes[1] == anchors[0] > 0
        and min(boxes[2], anchors[1]) >= 4
        and classes[2] > 0
    )
    if not fit:
        raise ModelError(
            f"the inputs of {POSTPROCESS} have shapes {list(boxes)}, {list(classes)} and "
            f"{list(anchors)}; it takes [1, n, 4], [1, n, classes] and [n, 4]"
        )


def _check_counts(
    where: str, signature: Signature, inputs: Sequence[int], outputs: Sequence[int]
) -> None:
    most = math.inf if signature.repeats else len(signature.inputs)
    least, gives = signature.least, len(signature.outputs)
    if not least <= len(inputs) <= most:
        raise ModelError(f"{where}: it has {len(inputs)} inputs")
    if len(outputs) != gives and not (signature.gives_many and len(outputs) >= gives):
        raise ModelError(f"{where}: it has {len(outputs)} outputs")
    if len(set(outputs)) != len(outputs) or min(outputs) < 0:
        raise ModelError(f"{where}: an output is missing, or there twice")


def _check_tensor(tensor: Tensor) -> None:
    shape = _shape(tensor)
    if len(shape) > _MAX_RANK:
        raise ModelError(f"tensor {tensor.name!r} has {len(shape)} dimensions")
    if min(shape, default=0) < 0:
        raise ModelError(f"tensor {tensor.name!r} has shape {list(shape)}")
    if _count(tensor) * _element_bits(tensor) // 8 > _MAX_BYTES:
        raise ModelError(f"tensor {tensor.name!r} of shape {list(shape)} takes over 2 GiB")
    quantization = tensor.quantization
    if quantization is None:
        return
    scales = _size(quantization.scale)
    points = _size(quantization.zero_point)
    if scales != points and (points or quantization.zero_point is not None):
        raise ModelError(
            f"tensor {tensor.name!r} is quantized with {scales} scales and {points} zero points"
        )
    values = np.zeros(0) if quantization.scale is None else quantization.scale
    if not ((values >= 0) & np.isfinite(values)).all():
        raise ModelError(f"tensor {tensor.name!r} has quantization scales that cannot be")
    axis = quantization.axis
    if scales > 1 and not (0 <= axis < len(shape) and shape[axis] == scales):
        raise ModelError(f"tensor {tensor.name!r} has {scales} scales along its axis {axis}")


def _indices(numbers: tflite.Numbers) -> list[int]:
    return [] if numbers is None else numbers.tolist()


def _at(indices: Sequence[int], place: int) -> int:
    return indices[place] if place < len(indices) else -1


def _size(numbers: tflite.Numbers) -> int:
    return 0 if numbers is None else numbers.size


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(_indices(tensor.shape))


def _count(tensor: Tensor) -> int:
    return math.prod(_shape(tensor))


def _element_bits(tensor: Tensor) -> int:
    dtype = tflite.NUMPY_TYPES.get(tensor.type)
    return dtype.itemsize * 8 if dtype is not None else _BITS.get(tensor.type, 8)


def _type_name(element: int | None) -> str:
    try:
        return TensorType(element).name if element is not None else "none"
    except ValueError:
        return f"number {element}"


def _positive(*names: str) -> Callable[[Any, Operator], str]:
    def check(options: Any, operator: Operator) -> str:
        wrong = [name for name in names if getattr(options, name) < 1]
        return f"its {wrong[0]} is {getattr(options, wrong[0])}" if wrong else ""

    return check


def _counts(name: str, side: str) -> Callable[[Any, Operator], str]:
    def check(options: Any, operator: Operator) -> str:
        count, wanted = len(_indices(getattr(operator, side))), getattr(options, name)
        return "" if count == wanted else f"its options speak of {wanted} {side}, not {count}"

    return check


_CONV = _positive("stride_w", "stride_h", "dilation_w", "dilation_h")
_POOL = _positive("stride_w", "stride_h", "filter_w", "filter_h")
# What a kernel divides by, or counts with, of the options that Flatshot reads.
_OPTIONS: dict[int, Callable[[Any, Operator], str]] = {
    Builtin.CONV_2D: _CONV,
    Builtin.DEPTHWISE_CONV_2D: _CONV,
    Builtin.AVERAGE_POOL_2D: _POOL,
    Builtin.MAX_POOL_2D: _POOL,
    12: _POOL,  # L2_POOL_2D
    Builtin.SPLIT: _counts("num_splits", "outputs"),
    Builtin.UNPACK: _counts("num", "outputs"),
    Builtin.PACK: _counts("values_count", "inputs"),
}
