"""Tiny .tflite models for the tests of this room: the operator alone, and whole small detectors."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.formats import tflite
from flatshot.formats.custom_options import Option, write_options
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.tflite import Builtin

Array = npt.NDArray[Any]

OPTIONS: dict[str, Option] = {
    "max_detections": 10,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": True,
    "nms_score_threshold": 0.25,
    "nms_iou_threshold": 0.5,
    "num_classes": 3,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


def ints(*values: int) -> Array:
    """A vector of indices or sizes."""
    return np.array(values, np.int32)


@dataclass
class Builder:
    """Puts tensors and operators together."""

    tensors: list[tflite.Tensor] = field(default_factory=list)
    buffers: list[tflite.Buffer] = field(default_factory=lambda: [tflite.Buffer()])
    codes: list[tflite.OperatorCode] = field(default_factory=list)
    operators: list[tflite.Operator] = field(default_factory=list)
    metadata: list[tflite.Metadata] = field(default_factory=list)

    def buffer(self, content: Array) -> int:
        """The number of a new buffer with `content`."""
        raw = np.frombuffer(np.ascontiguousarray(content).tobytes(), np.uint8)
        self.buffers.append(tflite.Buffer(data=raw))
        return len(self.buffers) - 1

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any = np.float32,
        value: Array | None = None,
        scale: float | None = None,
        zero_point: int = 0,
    ) -> int:
        """The number of a new tensor, constant where it has a value."""
        types = {dtype_: type_ for type_, dtype_ in tflite.NUMPY_TYPES.items()}
        quantization = scale and tflite.Quantization(
            scale=np.array([scale], np.float32), zero_point=np.array([zero_point], np.int64)
        )
        self.tensors.append(
            tflite.Tensor(
                name=name,
                shape=ints(*shape),
                type=types[np.dtype(dtype)],
                buffer=0 if value is None else self.buffer(value),
                quantization=quantization or None,
            )
        )
        return len(self.tensors) - 1

    def operator(
        self, code: Builtin, inputs: Sequence[int], outputs: Sequence[int], **fields: Any
    ) -> None:
        """Append an operator."""
        custom = POSTPROCESS if code == Builtin.CUSTOM else ""
        self.codes.append(
            tflite.OperatorCode(deprecated_builtin_code=code, builtin_code=code, custom_code=custom)
        )
        number = len(self.codes) - 1
        self.operators.append(
            tflite.Operator(
                opcode_index=number, inputs=ints(*inputs), outputs=ints(*outputs), **fields
            )
        )

    def postprocess(self, inputs: Sequence[int], options: Mapping[str, Option]) -> list[int]:
        """Append the operator; returns its four outputs, whose shapes LiteRT finds."""
        names = [POSTPROCESS] + [f"{POSTPROCESS}:{i}" for i in (1, 2, 3)]
        outputs = [self.tensor(name, ()) for name in names]
        custom = np.frombuffer(write_options(options), np.uint8)
        self.operator(Builtin.CUSTOM, inputs, outputs, custom_options=custom)
        return outputs

    def build(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        signatures: Sequence[tflite.SignatureDef] = (),
    ) -> bytes:
        """The bytes of the model."""
        graph = tflite.SubGraph(
            tensors=self.tensors,
            inputs=ints(*inputs),
            outputs=ints(*outputs),
            operators=self.operators,
            name="main",
        )
        model = tflite.TFLiteModel(
            version=tflite.VERSION,
            operator_codes=self.codes,
            subgraphs=[graph],
            buffers=self.buffers,
            metadata=self.metadata,
            signature_defs=list(signatures),
            description="tiny",
        )
        return bytes(tflite.write_model(model))


def operator_model(boxes: tuple[int, int], columns: int, options: Mapping[str, Option]) -> bytes:
    """The operator alone on (n, k) encodings, (n, columns) scores and (n, 4) anchors, all fed."""
    build = Builder()
    inputs = [
        build.tensor("box_encodings", (1, *boxes)),
        build.tensor("class_predictions", (1, boxes[0], columns)),
        build.tensor("anchors", (boxes[0], 4)),
    ]
    return build.build(inputs, build.postprocess(inputs, options))


def run(model: bytes, *feeds: Array, threads: int = 1) -> list[Array]:
    """The outputs of a model in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


ANCHORS = np.random.default_rng(7).uniform(0.1, 0.9, (36, 4)).astype(np.float32)


@dataclass
class Tiny:
    """A whole detector whose raw outputs are its 8 x 6 pixels; each field bends one thing.

    The 144 numbers of the image are both the 36 x 4 box encodings and, through a sigmoid unless the
    type is an integer, the 36 x 4 scores of a background and three classes.
    """

    dtype: Any = np.float32
    options: Mapping[str, Option] = field(default_factory=lambda: dict(OPTIONS))
    cut: bool = False
    order: Sequence[int] = (0, 1, 2, 3)
    shape: Sequence[int] = (1, 8, 6, 3)
    anchors: str = "float32"
    carried: bool = False
    hidden: bool = False
    signature: bool = False

    def bytes(self) -> bytes:
        """The bytes of the model."""
        build = Builder()
        quant: dict[str, Any] = {"dtype": self.dtype}
        if self.dtype != np.float32:
            quant |= {"scale": 1 / 256, "zero_point": -128 if self.dtype == np.int8 else 0}
        image = build.tensor("normalized_input_image_tensor", self.shape, **quant)
        shape = build.tensor("shape", (3,), np.int32, ints(1, -1, 4))
        rows = int(np.prod(self.shape)) // 4
        prefix = "raw_outputs/" if self.cut else ""
        boxes = build.tensor(f"{prefix}box_encodings", (1, rows, 4), **quant)
        build.operator(Builtin.RESHAPE, [image, shape], [boxes])
        scores = build.tensor(f"{prefix}class_predictions", (1, rows, 4), **quant)
        code = Builtin.LOGISTIC if self.dtype == np.float32 else Builtin.RESHAPE
        build.operator(code, [boxes] if code == Builtin.LOGISTIC else [boxes, shape], [scores])
        if self.cut:
            if self.carried:
                build.metadata.append(
                    tflite.Metadata(name="anchors", buffer=build.buffer(ANCHORS[:rows]))
                )
                packed = np.frombuffer(write_options(self.options), np.uint8)
                build.metadata.append(
                    tflite.Metadata(name=POSTPROCESS, buffer=build.buffer(packed))
                )
            return build.build([image], [scores, boxes])
        anchors = self._anchors(build, rows)
        found = build.postprocess([boxes, scores, anchors], self.options)
        outputs = [found[i] for i in self.order]
        if self.hidden:
            outputs = [boxes]
        return build.build([image], outputs, self._signatures(image, outputs))

    def _anchors(self, build: Builder, rows: int) -> int:
        value = ANCHORS[:rows]
        if self.anchors == "float32" and self.dtype == np.float32:
            return build.tensor("anchors", (rows, 4), value=value)
        if self.anchors == "float16":
            half = build.tensor("half", (rows, 4), np.float16, value.astype(np.float16))
            anchors = build.tensor("anchors", (rows, 4))
            build.operator(Builtin.DEQUANTIZE, [half], [anchors])
            return anchors
        if self.anchors == "computed":
            source = build.tensor("source", (rows, 4), value=value)
            anchors = build.tensor("anchors", (rows, 4))
            size = build.tensor("size", (2,), np.int32, ints(rows, 4))
            build.operator(Builtin.RESHAPE, [source, size], [anchors])
            return anchors
        steps = np.rint(value * 200).astype(np.uint8)
        return build.tensor("anchors", (rows, 4), np.uint8, steps, scale=1 / 200)

    def _signatures(self, image: int, outputs: Sequence[int]) -> list[tflite.SignatureDef]:
        if not self.signature:
            return []
        return [
            tflite.SignatureDef(
                inputs=[tflite.TensorMap(name="image", tensor_index=image)],
                outputs=[
                    tflite.TensorMap(name=f"output_{i}", tensor_index=index)
                    for i, index in enumerate(outputs)
                ],
                signature_key="serving_default",
            )
        ]


def with_labels(model: bytes, text: str, name: str = "labelmap.txt") -> bytes:
    """The model with a zip file behind it, as TensorFlow's metadata writer packs labels."""
    packed = io.BytesIO(model)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, text)
    return packed.getvalue()
