"""A detector of real numbers to one of 8 bits or halves, after training."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from flatshot.compiler.compile import Model, described
from flatshot.compiler.emitter import emit
from flatshot.compiler.ir import Graph
from flatshot.compiler.passes import WRITING, add_missing_biases, run_passes
from flatshot.compiler.quantization.ranges import (
    Seen,
    apply_ranges,
    clip_logits,
    means_of,
    measured,
    unfuse_hard_swish,
)
from flatshot.compiler.quantization.signed import (
    INPUT_TYPES,
    InputType,
    SignedSettings,
    quantize_signed,
)
from flatshot.compiler.quantization.smaller import store_halves, store_integers
from flatshot.compiler.reader import read_graph
from flatshot.compiler.toco_log import count_model, rewriting_log
from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError, ImageError
from flatshot.formats import model_metadata, normalization, tflite
from flatshot.formats.files import StrPath, read_bytes
from flatshot.formats.graphdef import Graph as GraphDef
from flatshot.formats.tflite import TensorType, TFLiteModel
from flatshot.runtime.calibration import calibrate
from flatshot.runtime.detector import Detector
from flatshot.runtime.labels import packed_labels
from flatshot.runtime.sources import Image
from flatshot.version import VERSION

_log = logging.getLogger("flatshot")
To = Literal["int8", "float16", "weights"]
KINDS: tuple[To, ...] = ("int8", "float16", "weights")
# Fewer leave ranges to chance: with 50 images of 100 the loss is within noise.
FEW_IMAGES = 20
Source = Model | GraphDef | StrPath | bytes


def quantize(
    source: Source,
    images: Iterable[Image] = (),
    *,
    to: To = "int8",
    count: int = 100,
    input_type: InputType = "float32",
    keep: Sequence[str] = (),
    ranges: Mapping[str, Seen] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Model:
    """A smaller and faster form of a detector, made after its training.

    `int8` computes with integers from the input to the scores; anchors and detections stay real.
    It needs images like those that the detector will see, or the ranges that were found on them; a
    model of unsigned 8 bits (TOCO's) has its ranges in it and needs neither. `float16` and
    `weights` (filters in int8) compute with real numbers, and need nothing.

    Args:
        source: a model, or whatever `flatshot.convert` takes, or the path or bytes of a .tflite.
        images: paths, bytes or (h, w, 3) uint8 pixels; such that cannot be read are left out.
        to: the form.
        count: how many of the images are used.
        input_type: of int8: what the input is made of; pixels as they are (uint8), or less 128
            (int8), or normalised (float32).
        keep: of int8: regular expressions of tensors whose operators stay in real numbers.
        ranges: of int8: what `measure` gave.
        progress: called with the number of images that are done.

    Raises:
        ConfigError: an argument cannot be; there are no images; the model is of 8 bits already.
        GraphError, UnsupportedError: the model cannot be quantised.
        ModelError: the source is no detector.
    """
    _check(to, input_type, count)
    model = _opened(source)
    data = bytes(tflite.write_model(model))
    graph = _graph(model)
    if to == "int8":
        settings = SignedSettings(
            input=input_type, input_range=_input_range(model, input_type), keep=tuple(keep)
        )
        if _is_unsigned(model):
            clip_logits(graph)
        else:
            seen = ranges
            if seen is None:
                seen = _measure(data, graph, images, count, progress)
            if not apply_ranges(graph, seen):
                raise ConfigError("these ranges are of another model: no tensor has its name")
            settings = SignedSettings(
                input_type, settings.input_range, settings.keep, means_of(seen)
            )
        unfuse_hard_swish(graph)
        quantize_signed(graph, settings)
    elif to == "float16":
        store_halves(graph)
    else:
        store_integers(graph)
    run_passes(graph, WRITING)
    metadata = _metadata(model)
    labels = _labels(source)
    if model_metadata.NAME in metadata:
        metadata |= described(graph, metadata, labelled=bool(labels))
    made = emit(graph, f"Flatshot {VERSION}", metadata)
    before = count_model(model)
    return Model(made, rewriting_log(before, before, made), labels)


def measure(
    source: Source,
    images: Iterable[Image],
    *,
    count: int = 100,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Seen]:
    """The ranges of the tensors of a detector on images, for `quantize`; arguments as its own.

    Raises:
        ConfigError: there are no images, or the model is quantised.
    """
    model = _opened(source)
    data = bytes(tflite.write_model(model))
    return _measure(data, _graph(model), images, count, progress)


def _check(to: str, input_type: str, count: int) -> None:
    for name, value, known in (("to", to, KINDS), ("input_type", input_type, INPUT_TYPES)):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; there are {', '.join(known)}")
    if count < 1:
        raise ConfigError(f"count is {count}: at least one image is needed")


def _opened(source: Source) -> TFLiteModel:
    """The tables of the model that is to be quantised."""
    if isinstance(source, Model):
        model = source.tflite
    elif isinstance(source, bytes):
        model = tflite.read_model(source)
    elif not isinstance(source, GraphDef) and _is_model(source):
        model = tflite.read_model(read_bytes(source))
    else:
        model = convert(source, inference_type="FLOAT").tflite
    types = {t.type for t in model.subgraphs[0].tensors if t.quantization is not None}
    halves = any(t.type == TensorType.FLOAT16 for t in model.subgraphs[0].tensors)
    if TensorType.INT8 in types or halves:
        raise ConfigError("the model is quantised already: begin with the one of real numbers")
    return model


def _labels(source: Source) -> tuple[str, ...]:
    """The names of classes that lie packed behind the source."""
    if isinstance(source, Model):
        return source.labels
    if isinstance(source, GraphDef) or (not isinstance(source, bytes) and not _is_model(source)):
        return ()
    found = packed_labels(source if isinstance(source, bytes) else read_bytes(source))
    return () if found is None else tuple(found.name(index) for index in range(len(found)))


def _is_model(place: StrPath) -> bool:
    return Path(place).suffix == ".tflite"


def _is_unsigned(model: TFLiteModel) -> bool:
    return any(
        tensor.type == TensorType.UINT8
        and tensor.quantization is not None
        and tensor.quantization.scale is not None
        for tensor in model.subgraphs[0].tensors
    )


def _graph(model: TFLiteModel) -> Graph:
    graph = read_graph(model)
    run_passes(graph, (add_missing_biases,))
    return graph


def _measure(
    data: bytes,
    graph: Graph,
    images: Iterable[Image],
    count: int,
    progress: Callable[[int], None],
) -> dict[str, Seen]:
    if graph.inputs[0].range is not None:
        raise ConfigError("a model of integers has its ranges in it: nothing is measured")
    detector = Detector(data)
    done = 0

    def inputs() -> Iterator[Any]:
        nonlocal done
        for image in itertools.islice(_readable(detector, images), count):
            yield detector.prepare(image)
            done += 1
            progress(done)

    seen = calibrate(data, inputs(), measured(graph))
    if done < FEW_IMAGES:
        _log.warning(
            "%d images are few to calibrate with: 100 like those that will be seen are usual", done
        )
    return seen


def _readable(detector: Detector, images: Iterable[Image]) -> Iterator[Any]:
    for image in images:
        try:
            yield detector.load(image)
        except ImageError as error:
            _log.warning("left out: %s", error)


def _input_range(model: TFLiteModel, input_type: InputType) -> tuple[float, float]:
    """What the pixels 0 and 255 become.

    Raises:
        ConfigError: the channels become different numbers, which one scale cannot tell.
    """
    content = _metadata(model).get(normalization.NAME)
    if content is None:
        return -1.0, 1.0
    shape = model.subgraphs[0].tensors[tflite.indices(model.subgraphs[0].inputs)[0]].shape
    assert shape is not None
    scale, offset = normalization.read_normalization(content, int(shape[-1]))
    if len(set(scale)) + len(set(offset)) > 2 and input_type != "float32":
        raise ConfigError(
            f"--input {input_type}: this model normalises each channel in another way, which one "
            "scale for all cannot say; leave its input in float32"
        )
    ends = [end for s, o in zip(scale, offset, strict=True) for end in (o, 255 * s + o)]
    return min(ends), max(ends)


def _metadata(model: TFLiteModel) -> dict[str, bytes]:
    """The named bytes that the model carries."""
    found = {}
    for entry in model.metadata:
        data = model.buffers[entry.buffer].data if entry.buffer < len(model.buffers) else None
        if data is not None:
            found[entry.name] = data.tobytes()
    return found
