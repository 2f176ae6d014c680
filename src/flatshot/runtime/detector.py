"""The detector: a .tflite and an image in, detections out."""

import copy
import hashlib
import logging
import math
import os
import sys
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, ModelError
from flatshot.formats.files import StrPath, read_bytes
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime import fitting, images, nms
from flatshot.runtime.anatomy import read_anatomy
from flatshot.runtime.detections import Detections
from flatshot.runtime.fitting import PostProcess
from flatshot.runtime.images import RESIZE_MODES, Pixels, Resize
from flatshot.runtime.labels import Labels
from flatshot.runtime.orientation import Orient
from flatshot.runtime.origins import origins
from flatshot.runtime.sources import Image, to_pixels
from flatshot.runtime.verifier import trial
from flatshot.runtime.verifier.structure import fit_postprocess

Raw = tuple[npt.NDArray[Any], ...]

_log = logging.getLogger("flatshot")


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
        settings: the post-processing settings, in place of all that the model holds.
        threads: threads of the interpreter, from 1.
        resize: how images are brought to the size of the input; see `images.resize`.
        postprocess: "op" runs the operator in the model; "numpy" takes the raw outputs and does
            the same in NumPy, many times faster at low thresholds; "auto" takes NumPy wherever the
            raw outputs and the anchors can be read.
        labels: a path or labels; by default those that are packed into the model, if any.
        anchors: (n, 4) centre y, centre x, height, width, for a cut model that does not carry its
            own.
        changes: single settings by their names, such as `nms="fast"` or `score_threshold=0.3`; see
            `PostProcessSettings`, which has them all, and its `override`.

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
        settings: PostProcessSettings | None = None,
        threads: int = 1,
        resize: Resize = "tensorflow",
        postprocess: PostProcess = "auto",
        labels: StrPath | Labels | None = None,
        anchors: npt.ArrayLike | None = None,
        **changes: Any,
    ) -> None:
        _check_choice("resize", resize, RESIZE_MODES)
        _check_choice("postprocess", postprocess, ("auto", "op", "numpy"))
        _check_threads(threads)
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
        self.threads = int(threads)
        self.settings = fitting.settings_in_force(self._anatomy, settings, changes)
        self.baked = fitting.settings_in_file(self._anatomy)
        self._anchors = fitting.anchors_in_force(self._anatomy, anchors)
        self.postprocess = fitting.choose(self._anatomy, self._anchors, postprocess, self._source)
        self.labels = fitting.labels_in_force(labels, data, self.settings.num_classes)
        self._content = fitting.patched(data, self._anatomy, self.settings, self.postprocess)
        key = f"{self.sha256} {self.postprocess}"
        self._start(None if ours else trial.begin(self._content, key))

    def __repr__(self) -> str:
        _, height, width, _ = self.input_shape
        nms = "regular" if self.settings.use_regular_nms else "fast"
        return f"<Detector {self._source}: {width} x {height}, {nms} NMS by {self.postprocess}>"

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
                _log.warning(
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

    @property
    def anchors(self) -> npt.NDArray[np.float32] | None:
        """(n, 4) float32 centre y, centre x, height, width to decode with; None if unreadable."""
        return self._anchors

    def fork(self, threads: int | None = None) -> "Detector":
        """A detector that does the same, for another thread; only the model's bytes are shared.

        Its interpreter has `threads` threads; by default as many as this one's.

        Raises:
            ConfigError: the number of threads is out of range.
        """
        twin = copy.copy(self)
        if threads is not None:
            _check_threads(threads)
            twin.threads = int(threads)
        twin._start()
        return twin

    def with_settings(self, settings: PostProcessSettings) -> "Detector":
        """A detector with other settings that shares this one's interpreter: for `finish` only.

        What one `network` gave can be finished by any number of such, also in several threads.

        Raises:
            ConfigError: the settings do not fit the model, or the model's own operator does the
                post-processing.
        """
        if self.postprocess == "op":
            raise ConfigError(
                f"{self._source}: the model's own operator does the post-processing, as its "
                "settings were when it was loaded"
            )
        twin = copy.copy(self)
        twin.settings = fitting.settings_in_force(self._anatomy, settings, {})
        return twin

    def __call__(self, image: Image, *, bgr: bool = False) -> Detections:
        """The objects in `image`.

        It is a path, the bytes of an image file, (h, w, 3) uint8 RGB (or BGR, with `bgr`), or a
        Pillow image. Photos are turned upright first, and boxes are those of what is shown.

        Raises:
            FileError: the file cannot be read.
            ImageError: it is no image, or damaged.
            ModelError: the operator fails on this image.
        """
        return self.finish(self.network(self.prepare(self.load(image, bgr=bgr))))

    def load(self, image: Image, orient: Orient = "upright", *, bgr: bool = False) -> Pixels:
        """The pixels of `image`, (h, w, 3) uint8 RGB; see `__call__` for what it may be.

        Files are turned by their EXIF data as `orient` says, see `images.decode`.
        """
        return to_pixels(image, orient, bgr)

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

    def finish(self, raw: Raw, settings: PostProcessSettings | None = None) -> Detections:
        """The detections in what `network` gave: suppression (unless done) and names.

        Args:
            raw: what `network` gave; it may be finished any number of times.
            settings: other settings than the detector's own, where it does the work in NumPy.

        Raises:
            ModelError: scores or boxes are not numbers, or scores of a cut model no probabilities.
            ConfigError: other settings, and the operator in the model does the work.
        """
        settings = settings or self.settings
        if self.postprocess == "op":
            if settings != self.settings:
                raise ConfigError(
                    "the operator in the model suppresses with the settings that it holds; "
                    "postprocess='numpy' takes others"
                )
            boxes, classes, scores = self._written(raw)
        else:
            encodings, predictions, anchors = self._raw_outputs(raw)
            _check_scores(predictions, self._anatomy.operator is None, self._source)
            boxes, classes, scores, _ = nms.postprocess(encodings, predictions, anchors, settings)
        if np.isnan(boxes).any() or np.isnan(scores).any():
            raise ModelError(f"{self._source}: it gives boxes or scores that are not numbers")
        if settings.max_classes_per_detection > 1 and not settings.use_regular_nms:
            # The classes of a box come together; detections are sorted by score.
            order = np.argsort(-scores, kind="stable")
            boxes, classes, scores = boxes[order], classes[order], scores[order]
        name = self.labels.name if self.labels is not None else None
        names = tuple(map(name, classes.tolist())) if name is not None else None
        return Detections(boxes, scores, classes, names)

    def origins(
        self, raw: Raw, found: Detections, settings: PostProcessSettings | None = None
    ) -> npt.NDArray[np.int64]:
        """(n,) the anchor that each detection in `found` came from, what `finish` made of `raw`.

        It is -1 where the operator in the model did the work: it does not tell.
        """
        if self.postprocess == "op":
            return np.full(len(found), -1, np.int64)
        return origins(*self._raw_outputs(raw), settings or self.settings, found)

    def _raw_outputs(
        self, raw: Raw
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32]]:
        """Box encodings (n, 4), class predictions (n, c) and anchors (n, 4), as real numbers."""
        assert self._anchors is not None
        encodings = self._anatomy.box_encodings.real(raw[0])[0]
        predictions = self._anatomy.class_predictions.real(raw[1])[0]
        return encodings, predictions, self._anchors

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


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; there are {', '.join(choices)}")


def _check_threads(threads: object) -> None:
    if isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1:
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
    compiler = sys.modules.get("flatshot.compiler.compile")
    return compiler is not None and isinstance(model, compiler.Model)


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
