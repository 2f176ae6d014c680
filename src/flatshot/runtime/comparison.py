"""Two models side by side: the same input, and how far apart each tensor comes out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError, ModelError
from flatshot.formats import files, tflite
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.files import StrPath
from flatshot.runtime import images
from flatshot.runtime.verifier import trial
from flatshot.runtime.verifier.structure import verify

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorDifference:
    """How far apart one tensor is in two models.

    Attributes:
        name: the tensor's name; for an output whose names differ, both.
        output: whether it is an output of both models.
        shapes: its shape in the one and in the other. Where they differ nothing is compared, but
            of detections the rows that both have.
        largest: the largest absolute difference; nan where the shapes differ or one is nan.
        mean: the mean absolute difference.
        scale: the largest absolute value in the first model, to judge the differences by.
    """

    name: str
    output: bool
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    largest: float
    mean: float
    scale: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: outputs in their order, and common tensors with the worst first.

    Attributes:
        outputs: each output of the first model against its counterpart.
        tensors: computed tensors that both models have under one name.
        only: how many computed tensors only the first, and only the second model has.
    """

    outputs: tuple[TensorDifference, ...]
    tensors: tuple[TensorDifference, ...]
    only: tuple[int, int]

    @property
    def worst(self) -> float:
        """The largest difference of any output."""
        return max((item.largest for item in self.outputs), default=0.0, key=_badness)


def compare(first: StrPath, second: StrPath, image: StrPath | None = None) -> Comparison:
    """Run two .tflite models on the same input and measure how far apart they come out.

    Both run on LiteRT's plain kernels, one thread, so that every intermediate result can be read.
    Integer tensors are compared as the real numbers that they stand for. Of the post-processing
    operator's outputs only the rows that count are compared: the others are stale memory.

    Args:
        first: a .tflite.
        second: another one.
        image: an image file, resized for each model (TensorFlow's bilinear); without one, noise
            from a fixed seed.

    Raises:
        FileError: a file cannot be read.
        FormatError: a model is damaged.
        ModelError: LiteRT refuses a model, or the two have no input in common.
        ImageError: the image cannot be decoded.
    """
    runs = [_Run(path) for path in (first, second)]
    pixels = images.load(image) if image is not None else None
    shapes = [run.input_shape for run in runs]
    if pixels is None and shapes[0] != shapes[1] and not all(map(_is_image, shapes)):
        raise ModelError(
            f"{first} reads {list(shapes[0])} and {second} reads {list(shapes[1])}: "
            "they cannot be fed the same"
        )
    if pixels is None and _is_image(shapes[0]):
        noise = np.random.default_rng(0).integers(0, 256, (*shapes[0][1:3], 3))
        pixels = noise.astype(np.uint8)
    left, right = (run.feed(pixels) for run in runs)
    return _compare(runs[0], left, runs[1], right)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[0] == 1 and shape[3] in (1, 3)


class _Run:
    """One model in an interpreter that keeps what it computes."""

    def __init__(self, path: StrPath) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.path = path
        data = files.read_bytes(path)
        try:
            self.model = tflite.read_model(data)
            verify(self.model)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        running = trial.begin(data, f"{hashlib.sha256(data).hexdigest()} whole")
        try:
            if running is not None:
                running.finish()
            self._interpreter = Interpreter(
                model_content=data,
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: LiteRT refuses the model: {error}") from error
        self._details = {item["index"]: item for item in self._interpreter.get_tensor_details()}
        self._inputs = self._interpreter.get_input_details()
        if len(self._inputs) != 1:
            raise ModelError(f"{path}: it has {len(self._inputs)} inputs; one is expected")
        self.input_shape = tuple(int(size) for size in self._inputs[0]["shape"])
        self.detections: set[str] = set()
        self.outputs = [item["name"] for item in self._interpreter.get_output_details()]

    def feed(self, pixels: npt.NDArray[np.uint8] | None) -> dict[str, Array]:
        """The values of all computed tensors by name, as real numbers."""
        details = self._inputs[0]
        if pixels is not None and _is_image(self.input_shape):
            value = _prepare(pixels, self.input_shape, details["dtype"])
        else:
            value = np.random.default_rng(0).uniform(-1, 1, self.input_shape)
            value = value.astype(details["dtype"])
        try:
            self._interpreter.set_tensor(details["index"], value)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self.path}: LiteRT fails: {error}") from error
        return self._read()

    def _read(self) -> dict[str, Array]:
        graph = self.model.subgraphs[0]
        values = {}
        for operator in graph.operators:
            for number in tflite.indices(operator.outputs):
                values[graph.tensors[number].name] = self._value(number)
        for number in tflite.indices(graph.outputs):  # it may put out an input, or a constant
            values.setdefault(graph.tensors[number].name, self._value(number))
        for operator in graph.operators:
            if self.model.operator_codes[operator.opcode_index].name == POSTPROCESS:
                names = [graph.tensors[n].name for n in tflite.indices(operator.outputs)]
                self.detections.update(names[:3])
                _drop_stale(values, names)
        return values

    def _value(self, number: int) -> Array:
        value = np.asarray(self._interpreter.get_tensor(number))
        scale, zero = self._details[number]["quantization"]
        real = value.astype(np.float64)
        return (real - zero) * scale if scale else real


def _drop_stale(values: dict[str, Array], names: list[str]) -> None:
    """Cut boxes, classes and scores to the detections that there are."""
    if len(names) == 4 and values[names[3]].size == 1:
        count = int(values[names[3]].reshape(-1)[0])
        for name in names[:3]:
            values[name] = values[name][:, :count]


def _prepare(pixels: npt.NDArray[np.uint8], shape: tuple[int, ...], dtype: Any) -> Array:
    """The pixels as a network of this input wants them: -1 to 1, or integers as they are."""
    floats = bool(np.issubdtype(dtype, np.floating))
    resized: Array = images.resize(pixels, shape[1], shape[2], "tensorflow", normalise=floats)
    if shape[3] == 1:
        resized = resized.mean(axis=2, keepdims=True)
    if floats:
        values: Array = resized.astype(dtype)
        return values[None]
    shift = 128 if dtype == np.int8 else 0
    integers: Array = (np.rint(resized) - shift).astype(dtype)
    return integers[None]


def _compare(
    first: _Run, left: Mapping[str, Array], second: _Run, right: Mapping[str, Array]
) -> Comparison:
    outputs = []
    for index, name in enumerate(first.outputs):
        other = name if name in second.outputs else None
        if other is None and index < len(second.outputs):
            other = second.outputs[index]
        if other is not None:
            title = name if other == name else f"{name} / {other}"
            rows = name in first.detections and other in second.detections
            outputs.append(_difference(title, left[name], right[other], output=True, rows=rows))
    common = [name for name in left if name in right and name not in first.outputs]
    tensors = [_difference(name, left[name], right[name], output=False) for name in common]
    tensors.sort(key=lambda item: _badness(item.largest), reverse=True)
    shared = sum(name in right for name in left)
    return Comparison(tuple(outputs), tuple(tensors), (len(left) - shared, len(right) - shared))


def _badness(largest: float) -> float:
    """A number to sort by: what is not a number is worse than anything."""
    return np.inf if np.isnan(largest) else largest


def _difference(
    name: str, left: Array, right: Array, *, output: bool, rows: bool = False
) -> TensorDifference:
    shapes = (left.shape, right.shape)
    if rows:
        count = min(left.shape[1], right.shape[1])
        left, right = left[:, :count], right[:, :count]
    if left.shape != right.shape:
        return TensorDifference(name, output, shapes, np.nan, np.nan, np.nan)
    if not left.size:
        return TensorDifference(name, output, shapes, 0.0, 0.0, 0.0)
    # Equal infinities are no difference, and inf - inf would be none that is a number.
    with np.errstate(invalid="ignore"):
        apart = np.where(left == right, 0.0, np.abs(left - right))
    return TensorDifference(
        name, output, shapes, float(apart.max()), float(apart.mean()), float(np.abs(left).max())
    )
