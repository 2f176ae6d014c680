"""What a .tflite holds that makes it a detector: its input, raw outputs, anchors and options."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError, ModelError
from flatshot.formats import model_metadata, normalization, tflite
from flatshot.formats.custom_options import Option, read_options
from flatshot.formats.detector_graph import ANCHORS, POSTPROCESS
from flatshot.formats.tflite import TensorType
from flatshot.runtime.accelerators import refuse_strangers
from flatshot.runtime.verifier.structure import verify

Floats = npt.NDArray[np.float32]
Normalization = tuple[tuple[float, ...], tuple[float, ...]]

_log = logging.getLogger("flatshot")
_INPUT_TYPES = (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8)
_RAW_TYPES = _INPUT_TYPES


@dataclass(frozen=True, eq=False)
class Port:
    """A tensor that goes in or comes out; integers stand for `(q - zero_point) * scale`."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: np.float32
    zero_point: int

    def real(self, values: npt.NDArray[Any]) -> Floats:
        """The real numbers that `values` of this tensor stand for, in the same shape."""
        if values.dtype == np.float32:
            return values
        return (values.astype(np.float32) - np.float32(self.zero_point)) * self.scale


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of a detector in a .tflite.

    Attributes:
        input: the image, (1, height, width, 1 or 3).
        box_encodings: raw output (1, n, 4 or more).
        class_predictions: raw output (1, n, c).
        anchors: (n, 4) float32 centre y, centre x, height, width; None if they cannot be read.
        operator: the number of TFLite_Detection_PostProcess in the sub-graph; None in a cut model.
        operator_inputs: its tensors: boxes, scores, anchors; empty in a cut model.
        operator_outputs: its tensors: boxes, classes, scores, count; empty in a cut model.
        ends_there: nothing in the graph needs what the operator computes.
        outputs: the tensors that the sub-graph puts out.
        options: the operator's options, or those that a cut model carries; None without either.
        normalization: scale and offset of each channel, where the model carries them: its input is
            pixel * scale + offset; None where it is that of most, 2/255 x - 1.
    """

    input: Port
    box_encodings: Port
    class_predictions: Port
    anchors: Floats | None
    operator: int | None
    operator_inputs: tuple[int, ...]
    operator_outputs: tuple[int, ...]
    ends_there: bool
    outputs: tuple[int, ...]
    options: dict[str, Option] | None
    normalization: Normalization | None = None


def read_anatomy(data: bytes) -> Anatomy:
    """The parts of the detector in the bytes of a .tflite file.

    A detector either holds the operator TFLite_Detection_PostProcess, whose inputs and outputs are
    told apart by their place at the operator, or it is cut before it and puts out the raw outputs,
    which are told apart by name and shape.

    Raises:
        ModelError: the bytes are no TensorFlow Lite model, or no detector; the message says what
            it has instead. Or LiteRT could not be trusted with it: see `verifier`.
    """
    try:
        model = tflite.read_model(data)
        if not model.subgraphs:
            raise ModelError("no detector: the model has no sub-graph")
        refuse_strangers(model)
        anatomy = _read(model, model.subgraphs[0])
        verify(model)
        numbers = _normalization(_metadata(model), anatomy.input)
        return dataclasses.replace(anatomy, normalization=numbers)
    except FormatError as error:
        raise ModelError(f"no detector: {error}") from error


def _normalization(
    metadata: dict[str, npt.NDArray[np.uint8]], source: Port
) -> Normalization | None:
    """How the model says that pixels are normalised: Flatshot's own word before TensorFlow's."""
    channels = source.shape[3]
    if (content := metadata.get(normalization.NAME)) is not None:
        return normalization.read_normalization(content.tobytes(), channels)
    content = metadata.get(model_metadata.NAME)
    if content is None or source.dtype != np.float32:
        return None  # integers are pixels, whatever the metadata says of real numbers
    try:
        told = model_metadata.input_normalization(
            model_metadata.read_model_metadata(content.tobytes()), channels
        )
    except FormatError as error:
        _log.warning("the input is taken for 2/255 x - 1, for its metadata is damaged: %s", error)
        return None
    return None if told is None or told.is_usual else told.scale_and_offset


def _read(model: tflite.TFLiteModel, graph: tflite.SubGraph) -> Anatomy:
    outputs = _indices(graph.outputs)
    number = _find_operator(model, graph)
    source = _image_input(model, graph)
    if number is None:
        boxes, classes = _raw_outputs(model, graph)
        anchors, options = _carried(model)
        return Anatomy(source, boxes, classes, anchors, None, (), (), False, outputs, options)
    operator = graph.operators[number]
    inputs, made = _indices(operator.inputs), _indices(operator.outputs)
    if len(inputs) != 3 or len(made) != 4 or min(inputs + made) < 0:
        raise ModelError(
            f"no detector: {POSTPROCESS} has {len(inputs)} inputs and {len(made)} outputs, not "
            "3 and 4"
        )
    used = {i for other in graph.operators for i in _indices(other.inputs)}
    return Anatomy(
        source,
        _port(graph, inputs[0]),
        _port(graph, inputs[1]),
        _constant(model, graph, inputs[2]),
        number,
        inputs,
        made,
        not used & set(made),
        outputs,
        read_options(operator.custom_options if operator.custom_options is not None else b""),
    )


def _find_operator(model: tflite.TFLiteModel, graph: tflite.SubGraph) -> int | None:
    for number, operator in enumerate(graph.operators):
        if model.operator_codes[operator.opcode_index].name == POSTPROCESS:
            return number
    return None


def _image_input(model: tflite.TFLiteModel, graph: tflite.SubGraph) -> Port:
    ports = [_port(graph, i) for i in _indices(graph.inputs)]
    if len(ports) == 1:
        port, type_ = ports[0], graph.tensors[ports[0].index].type
        whole = len(port.shape) == 4 and port.shape[0] == 1 and min(port.shape) > 0
        if whole and port.shape[3] in (1, 3) and type_ in _INPUT_TYPES:
            return port
    raise ModelError(
        "no detector of images: the input must be float32, uint8 or int8 of shape "
        f"[1, height, width, 3 or 1]; {_contents(model, graph)}"
    )


def _raw_outputs(model: tflite.TFLiteModel, graph: tflite.SubGraph) -> tuple[Port, Port]:
    ports = [_port(graph, i) for i in _indices(graph.outputs)]
    usable = [
        port
        for port in ports
        if len(port.shape) == 3
        and port.shape[0] == 1
        and graph.tensors[port.index].type in _RAW_TYPES
    ]
    boxes = [p for p in usable if "box_encodings" in p.name]
    classes = [p for p in usable if "class_predictions" in p.name]
    if not (boxes and classes) and len(usable) == 2:
        boxes = [p for p in usable if p.shape[2] == 4]
        classes = [p for p in usable if p.shape[2] != 4]
    if len(boxes) == len(classes) == 1:
        (box,), (class_,) = boxes, classes
        if box.shape[1] == class_.shape[1] and box.shape[2] >= 4:
            return box, class_
    raise ModelError(
        f"no detector: it has neither the operator {POSTPROCESS} nor the outputs box_encodings "
        f"[1, n, 4] and class_predictions [1, n, classes] of a cut one; {_contents(model, graph)}"
    )


def _contents(model: tflite.TFLiteModel, graph: tflite.SubGraph) -> str:
    """What the model has, in one line for a message."""

    def ports(indices: Sequence[int]) -> str:
        found = [_port(graph, i) for i in indices[:6]]
        listed = ", ".join(f"{p.name} {p.dtype} {list(p.shape)}" for p in found)
        return (listed or "none") + (", ..." if len(indices) > 6 else "")

    names = sorted({code.name for code in model.operator_codes}) or ["none"]
    return (
        f"inputs: {ports(_indices(graph.inputs))}; outputs: {ports(_indices(graph.outputs))}; "
        f"operators: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
    )


def _indices(numbers: tflite.Numbers) -> tuple[int, ...]:
    return () if numbers is None else tuple(int(n) for n in numbers)


def _port(graph: tflite.SubGraph, index: int) -> Port:
    tensor = graph.tensors[index]
    scale, zero_point = _quantization(tensor)
    return Port(
        index,
        tensor.name,
        _indices(tensor.shape),
        tflite.NUMPY_TYPES.get(tensor.type, np.dtype(np.void)),
        scale,
        zero_point,
    )


def _quantization(tensor: tflite.Tensor) -> tuple[np.float32, int]:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or quantization.scale.size != 1:
        return np.float32(1), 0
    points = quantization.zero_point
    point = int(points[0]) if points is not None and points.size else 0
    return np.float32(quantization.scale[0]), point


def _constant(model: tflite.TFLiteModel, graph: tflite.SubGraph, index: int) -> Floats | None:
    """The real numbers of a constant (n, 4), also one that a DEQUANTIZE operator unpacks."""
    for operator in graph.operators:
        code = model.operator_codes[operator.opcode_index].code
        if index in _indices(operator.outputs) and code == tflite.Builtin.DEQUANTIZE:
            index = next(iter(tflite.indices(operator.inputs)), index)
            break
    value = tflite.constant(model, graph.tensors[index])
    if value is None or value.ndim != 2 or value.shape[1] != 4:
        return None
    if graph.tensors[index].type == TensorType.FLOAT16:
        return value.astype(np.float32)
    return _port(graph, index).real(value) if graph.tensors[index].type in _RAW_TYPES else None


def _carried(model: tflite.TFLiteModel) -> tuple[Floats | None, dict[str, Option] | None]:
    """The anchors and the operator's options that a cut model carries as metadata."""
    anchors, options = None, None
    metadata = _metadata(model)
    if (content := metadata.get(ANCHORS)) is not None:
        if not content.size or content.size % 16:
            raise ModelError(f"the anchors of the model have {content.size} bytes, not n * 16")
        anchors = content.view("<f4").reshape(-1, 4)
    if (content := metadata.get(POSTPROCESS)) is not None:
        options = read_options(content)
    return anchors, options


def _metadata(model: tflite.TFLiteModel) -> dict[str, npt.NDArray[np.uint8]]:
    """The named bytes that the model carries."""
    found = {}
    for entry in model.metadata:
        data = model.buffers[entry.buffer].data if entry.buffer < len(model.buffers) else None
        if data is not None:
            found[entry.name] = data
    return found
