"""The detector: a .tflite and an image in, detections out."""

import copy
import hashlib
import logging
import math
import os
import sys
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, FormatError, ImageError, ModelError
from flatshot.formats import tflite_patch
from flatshot.formats.custom_options import Option, write_options
from flatshot.formats.files import StrPath, read_bytes
from flatshot.runtime import images, nms
from flatshot.runtime.anatomy import Anatomy, read_anatomy
from flatshot.runtime.detections import Detections
from flatshot.runtime.images import RESIZE_MODES, Pixels, Resize
from flatshot.runtime.labels import Labels, load_labels, packed_labels
from flatshot.runtime.settings import PostProcessSettings
from flatshot.runtime.verifier import trial
from flatshot.runtime.verifier.structure import fit_postprocess

Nms = Literal["regular", "fast"]
PostProcess = Literal["auto", "op", "numpy"]
Image = StrPath | bytes | npt.NDArray[np.uint8]
Raw = tuple[npt.NDArray[Any], ...]

_LOG = logging.getLogger("flatshot")
# What a cut model without options is run with: the settings that Collective Knowledge's package of
# SSD MobileNet V1 gives (NMS_SCORE_THRESHOLD .3, NMS_IOU_THRESHOLD .6, 100 detections, box coder
# 10, 10, 5, 5), regular suppression being its default. The classes are the columns but one.
_CUT_SETTINGS: dict[str, Option] = {
    "max_detections": 100,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": True,
    "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.6,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


@runtime_checkable
class HasBytes(Protocol):
    """A model in memory that gives the bytes of its .tflite."""

    def to_bytes(self) -> bytes | memoryview:
        """The bytes of the .tflite file."""


class Detector:
    """Finds objects in images with a TensorFlow Lite single-shot detector.

    The model either ends in the operator TFLite_Detection_PostProcess or is cut before it. A
    setting that is given wins over what the model holds; None keeps it. One detector serves one
    thread at a time: give each thread its own with `fork`.

    Args:
        model: a path, the bytes of a .tflite, or an object that gives them with `to_bytes()`.
        nms: "regular" suppresses overlaps within each class, "fast" across all of them.
        score_threshold: lowest score that is kept, 0 to 1.
        iou_threshold: overlap above which the lower score goes, more than 0 and at most 1.
        max_detections: how many are kept of an image.
        detections_per_class: how many the regular kind keeps of a class.
        max_classes_per_detection: how many classes the fast kind reports for a box.
        num_classes: classes without the background.
        scale_y: divisor of the encoded centre y; the three that follow likewise.
        scale_x: divisor of the encoded centre x.
        scale_h: divisor of the encoded height.
        scale_w: divisor of the encoded width.
        threads: threads of the interpreter, from 1.
        resize: how images are brought to the size of the input; see `images.resize`.
        postprocess: "op" runs the operator in the model; "numpy" takes the raw outputs and does
            the same in NumPy, many times faster at low thresholds; "auto" takes NumPy wherever the
            raw outputs and the anchors can be read.
        labels: a path or labels; by default those that are packed into the model, if any.
        anchors: (n, 4) centre y, centre x, height, width, for a cut model that does not carry its
            own.

    Attributes:
        input_shape: (1, height, width, channels).
        input_dtype: float32, uint8 or int8.
        settings: the post-processing settings in force.
        baked: those in the file; None where it holds none, or none that can be used.
        postprocess: "op" or "numpy", whichever is in use.
        resize: the way of resizing in use.
        threads: threads of the interpreter.
        labels: names of the classes, or None.
        sha256: of the model's bytes, in hexadecimal.

    Raises:
        FileError: the model or the labels cannot be read.
        FormatError: the file of labels holds none.
        ModelError: the model is no detector, or LiteRT refuses it.
        ConfigError: a setting lies outside its range, or the model cannot honour it.
    """

    def __init__(
        self,
        model: StrPath | bytes | bytearray | memoryview | HasBytes,
        *,
        nms: Nms | None = None,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
        detections_per_class: int | None = None,
        max_classes_per_detection: int | None = None,
        num_classes: int | None = None,
        scale_y: float | None = None,
        scale_x: float | None = None,
        scale_h: float | None = None,
        scale_w: float | None = None,
        threads: int = 1,
        resize: Resize = "tensorflow",
        postprocess: PostProcess = "auto",
        labels: StrPath | Labels | None = None,
        anchors: npt.ArrayLike | None = None,
    ) -> None:
        _check_choice("nms", nms, (None, "regular", "fast"))
        _check_choice("resize", resize, RESIZE_MODES)
        _check_choice("postprocess", postprocess, ("auto", "op", "numpy"))
        _check_threads(threads)
        changes: dict[str, Option | None] = {
            "use_regular_nms": None if nms is None else nms == "regular",
            "nms_score_threshold": score_threshold,
            "nms_iou_threshold": iou_threshold,
            "max_detections": max_detections,
            "detections_per_class": detections_per_class,
            "max_classes_per_detection": max_classes_per_detection,
            "num_classes": num_classes,
            "y_scale": scale_y,
            "x_scale": scale_x,
            "h_scale": scale_h,
            "w_scale": scale_w,
        }
        data, self._source = _model_bytes(model)
        ours = _made_here(model)
        try:
            self._anatomy = read_anatomy(data)
        except ModelError as error:
            raise ModelError(f"{self._source}: {error}") from error
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.input_shape = cast(tuple[int, int, int, int], self._anatomy.input.shape)
        self.input_dtype = self._anatomy.input.dtype
        self.resize: Resize = resize
        self.threads = threads
        self.settings, self.baked = _settings(self._anatomy, changes)
        self._anchors = _anchors(self._anatomy, anchors)
        self.postprocess = _choose(self._anatomy, self._anchors, postprocess, self._source)
        self.labels = _labels(labels, data, self.settings.num_classes)
        self._content = _patched(data, self._anatomy, self.settings, self.postprocess)
        key = f"{self.sha256} {self.postprocess}"
        self._start(None if ours else trial.begin(self._content, key))

    def _start(self, running: trial.Trial | None = None) -> None:
        """Make the interpreter; the model's bytes are shared with it, not copied."""
        from ai_edge_litert.interpreter import Interpreter

        try:
            if running is not None:
                running.finish()
            self._interpreter = Interpreter(model_content=self._content, num_threads=self.threads)
            self._interpreter.allocate_tensors()
            if self.postprocess == "op":
                self._check_operator()
        except ModelError as error:
            raise ModelError(f"{self._source}: {error}") from error
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self._source}: LiteRT refuses the model: {error}") from error
        if self.postprocess == "op":
            self._outputs = self._anatomy.operator_outputs
            if self.threads > 1 and self.settings.use_regular_nms:
                _LOG.warning(
                    "LiteRT's operator loses class %d when it suppresses per class on %d threads; "
                    "postprocess='numpy' or one thread finds them all",
                    self.threads,
                    self.threads,
                )
        else:
            raw = self._anatomy.box_encodings, self._anatomy.class_predictions
            self._outputs = tuple(port.index for port in raw)

    def _check_operator(self) -> None:
        """Refuse shapes, as they are now, with which the operator would read outside its inputs."""
        ports = self._anatomy.operator_inputs
        try:
            shapes = [self._interpreter.get_tensor(index).shape for index in ports]
        except ValueError as error:
            raise ModelError(
                "the shapes of boxes, scores or anchors are known only when it runs; LiteRT's "
                "operator cannot be trusted with such"
            ) from error
        fit_postprocess(*shapes)

    def fork(self, threads: int | None = None) -> "Detector":
        """A detector that does the same, for another thread; only the model's bytes are shared.

        Its interpreter has `threads` threads; by default as many as this one's.

        Raises:
            ConfigError: the number of threads is out of range.
        """
        twin = copy.copy(self)
        if threads is not None:
            _check_threads(threads)
            twin.threads = threads
        twin._start()
        return twin

    def __call__(self, image: Image) -> Detections:
        """The objects in `image`: a path, the bytes of an image file, or (h, w, 3) uint8 RGB.

        Raises:
            FileError: the file cannot be read.
            ImageError: it is no image, or damaged.
            ModelError: the operator fails on this image.
        """
        return self.finish(self.network(self.prepare(self.load(image))))

    def load(self, image: Image) -> Pixels:
        """The pixels of `image`, (h, w, 3) uint8 RGB; see `__call__` for what it may be."""
        if isinstance(image, bytes):
            return images.decode(image)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ImageError(
                    f"an image as an array must be uint8 (height, width, 3), not {image.dtype} "
                    f"{image.shape}"
                )
            return image
        return images.load(image)

    def prepare(self, pixels: Pixels) -> npt.NDArray[Any]:
        """The network's input for (h, w, 3) uint8 pixels: resized and normalised, `input_shape`.

        float32 inputs get `x * 2 / 255 - 1`, from -1 to 1; uint8 inputs the rounded pixels as they
        are, int8 inputs those less 128. A network of one channel gets the luma of ITU-R 601. Where
        the model carries a normalisation of its own, float32 inputs get that.
        """
        _, height, width, channels = self.input_shape
        if channels == 1:
            pixels = _luma(pixels)
        floats = bool(self.input_dtype == np.float32)
        own = self._anatomy.normalization if floats else None
        usual = floats and own is None
        resized = images.resize(pixels, height, width, self.resize, normalise=usual)
        if usual:
            return resized[None]
        if own is not None:
            scale, offset = np.array(own, np.float32)
            values: npt.NDArray[np.float32] = resized.astype(np.float32) * scale + offset
            return values[None]
        rounded = resized if resized.dtype == np.uint8 else np.rint(resized)
        shift = 128 if self.input_dtype == np.int8 else 0
        return (rounded.astype(np.int16) - shift).astype(self.input_dtype)[None]

    def network(self, prepared: npt.NDArray[Any]) -> Raw:
        """What the network makes of a prepared input: a tuple for `finish`.

        Raises:
            ModelError: LiteRT fails; the operator does so where a box ends before it begins.
        """
        try:
            self._interpreter.set_tensor(self._anatomy.input.index, prepared)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            hint = "; postprocess='numpy' may cope" if self.postprocess == "op" else ""
            raise ModelError(f"{self._source}: LiteRT fails: {error}{hint}") from error
        return tuple(self._interpreter.get_tensor(index) for index in self._outputs)

    def finish(self, raw: Raw) -> Detections:
        """The detections in what `network` gave: suppression (unless done) and names.

        Raises:
            ModelError: scores or boxes are not numbers, or scores of a cut model no probabilities.
        """
        if self.postprocess == "op":
            boxes, classes, scores = self._written(raw)
        else:
            encodings = self._anatomy.box_encodings.real(raw[0])[0]
            predictions = self._anatomy.class_predictions.real(raw[1])[0]
            _check_scores(predictions, self._anatomy.operator is None, self._source)
            assert self._anchors is not None
            boxes, classes, scores, _ = nms.postprocess(
                encodings, predictions, self._anchors, self.settings
            )
        if np.isnan(boxes).any() or np.isnan(scores).any():
            raise ModelError(f"{self._source}: it gives boxes or scores that are not numbers")
        if self.settings.max_classes_per_detection > 1 and not self.settings.use_regular_nms:
            # The classes of a box come together; detections are sorted by score.
            order = np.argsort(-scores, kind="stable")
            boxes, classes, scores = boxes[order], classes[order], scores[order]
        name = self.labels.name if self.labels is not None else None
        names = tuple(map(name, classes.tolist())) if name is not None else None
        return Detections(boxes, scores, classes, names)

    def _written(
        self, raw: Raw
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The entries that the operator wrote; what lies past its count was never written."""
        boxes, classes, scores = raw[0].reshape(-1, 4), raw[1].ravel(), raw[2].ravel()
        count = int(raw[3].ravel()[0])
        if self.settings.use_regular_nms:
            slots = np.arange(count)
        else:
            # It counts boxes; each has room for as many classes, which `_bounded` keeps to those
            # that there are.
            room = min(self.settings.max_classes_per_detection, self.settings.num_classes)
            slots = np.arange(count * room)
        return boxes[slots], classes[slots].astype(np.int64), scores[slots]


def _check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        known = ", ".join(str(choice) for choice in choices if choice is not None)
        raise ConfigError(f"{name} is {value!r}; there are {known}")


def _check_threads(threads: object) -> None:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ConfigError(f"threads is {threads!r}; it must be a whole number from 1 up")


def _model_bytes(model: object) -> tuple[bytes, str]:
    """The bytes of a model, and what to call it in messages."""
    if isinstance(model, str | os.PathLike):
        return read_bytes(model), os.fspath(Path(model))
    if isinstance(model, HasBytes):
        model = model.to_bytes()
    if isinstance(model, bytes | bytearray | memoryview):
        return bytes(model), "the model"
    raise ConfigError(f"a model is a path, bytes or has to_bytes(), not {type(model).__name__}")


def _made_here(model: object) -> bool:
    """Whether `model` was compiled in this process, by which LiteRT can be trusted with it."""
    compiler = sys.modules.get("flatshot.compiler.convert")
    return compiler is not None and isinstance(model, compiler.Model)


def _settings(
    anatomy: Anatomy, changes: dict[str, Option | None]
) -> tuple[PostProcessSettings, PostProcessSettings | None]:
    """The settings in force and those in the file."""
    columns = anatomy.class_predictions.shape[-1] if anatomy.class_predictions.shape else 0
    held = anatomy.options
    base = {**_CUT_SETTINGS, "num_classes": columns - 1} if held is None else held
    given = {name: value for name, value in changes.items() if value is not None}
    # What is given may mend what the file holds, so they are judged together; then once more as
    # they are, for options of a file are coerced and arguments are not.
    settings = PostProcessSettings.from_options({**base, **given}).override(**given)
    if columns - settings.num_classes not in (0, 1):
        raise ConfigError(
            f"num_classes is {settings.num_classes}, and the model has {columns} columns of "
            "scores; they must be as many, or one more with the background"
        )
    return settings, _baked(held)


def _baked(held: dict[str, Option] | None) -> PostProcessSettings | None:
    if held is None:
        return None
    try:
        return PostProcessSettings.from_options(held)
    except ConfigError as error:
        _LOG.warning("the settings in the model cannot be used as they are: %s", error)
        return None


def _anchors(anatomy: Anatomy, given: npt.ArrayLike | None) -> npt.NDArray[np.float32] | None:
    """The anchors to decode with: those given, or those of the model."""
    anchors = anatomy.anchors if given is None else np.asarray(given, np.float32)
    rows = anatomy.box_encodings.shape[1] if len(anatomy.box_encodings.shape) == 3 else -1
    if anchors is None:
        return None
    if anchors.shape != (rows, 4):
        raise ConfigError(f"anchors have shape {anchors.shape}; the model has {rows} boxes")
    if not np.isfinite(anchors).all():
        raise ConfigError("anchors must be finite numbers")
    return anchors


def _choose(
    anatomy: Anatomy,
    anchors: npt.NDArray[np.float32] | None,
    wish: PostProcess,
    source: str,
) -> Literal["op", "numpy"]:
    """Where the post-processing runs."""
    if anatomy.operator is None:
        if wish == "op":
            raise ConfigError(f"{source}: a cut model has no post-processing operator to run")
        if anchors is None:
            raise ModelError(f"{source}: a cut model without its anchors; pass them as anchors=")
        return "numpy"
    known = ("f4", "u1", "i1")
    raw = (anatomy.box_encodings, anatomy.class_predictions)
    readable = anchors is not None and all(
        len(port.shape) == 3 and port.shape[0] == 1 and port.dtype in map(np.dtype, known)
        for port in raw
    )
    if wish == "numpy" and not readable:
        raise ConfigError(f"{source}: the anchors or raw outputs cannot be read; use the operator")
    if wish == "op" or not readable or (wish == "auto" and not anatomy.ends_there):
        return "op"
    return "numpy"


def _labels(labels: StrPath | Labels | None, data: bytes, num_classes: int) -> Labels | None:
    if labels is None:
        try:
            found = packed_labels(data)
        except FormatError as error:
            _LOG.warning("no names: %s", error)
            return None
    else:
        found = labels if isinstance(labels, Labels) else load_labels(labels)
    if found is not None and len(found) != num_classes:
        _LOG.warning(
            "the labels go up to class %d and the model has %d: names may be those of others",
            len(found),
            num_classes,
        )
    return found


def _patched(
    data: bytes,
    anatomy: Anatomy,
    settings: PostProcessSettings,
    postprocess: Literal["op", "numpy"],
) -> bytes:
    """The model to run: cut before the operator, or with the settings in force in its options."""
    try:
        if anatomy.operator is None:
            return data
        if postprocess == "numpy":
            return tflite_patch.cut_before(data, anatomy.operator)
        held = anatomy.options or {}
        wanted = {**held, **_bounded(settings, anatomy).to_options()}
        if any(held.get(name) != value for name, value in wanted.items()):
            options = write_options(wanted)
            data = tflite_patch.replace_custom_options(data, anatomy.operator, options)
        if not set(anatomy.operator_outputs) <= set(anatomy.outputs):
            data = tflite_patch.replace_outputs(data, anatomy.operator_outputs)
    except FormatError as error:
        raise ModelError(f"the model cannot be changed in memory: {error}") from error
    return data


def _bounded(settings: PostProcessSettings, anatomy: Anatomy) -> PostProcessSettings:
    """The settings without more detections than there can be, for which LiteRT makes room."""
    boxes, classes = anatomy.box_encodings.shape[1], settings.num_classes
    most = boxes * classes if settings.use_regular_nms else boxes
    return settings.override(
        max_detections=min(settings.max_detections, most),
        detections_per_class=min(settings.detections_per_class, boxes),
        max_classes_per_detection=min(settings.max_classes_per_detection, classes),
    )


def _luma(pixels: Pixels) -> Pixels:
    """(h, w, 1) uint8 brightness by ITU-R 601, in the 16-bit integers that Pillow uses."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((pixels @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]


def _check_scores(predictions: npt.NDArray[np.float32], cut: bool, source: str) -> None:
    # The largest of numbers is not a number as soon as one of them is not.
    high = float(predictions.max())
    if math.isnan(high):
        raise ModelError(f"{source}: it gives raw scores that are not numbers")
    # A sigmoid or softmax in float16 or with rounding may pass 1 by a last bit.
    if cut and (high > 1 + 1e-3 or float(predictions.min()) < -1e-3):
        low = float(predictions.min())
        raise ModelError(
            f"{source}: raw scores run from {low:.3g} to {high:.3g}, so they are no probabilities; "
            "the cut model must end after its sigmoid"
        )
