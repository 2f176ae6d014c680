"""How a detector fits a model: settings, anchors, names, and where the post-processing runs."""

import logging
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, FormatError, ModelError
from flatshot.formats import tflite_patch
from flatshot.formats.custom_options import write_options
from flatshot.formats.files import StrPath
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime.anatomy import Anatomy
from flatshot.runtime.labels import Labels, load_labels, packed_labels

Anchors = npt.NDArray[np.float32]
PostProcess = Literal["auto", "op", "numpy"]

_log = logging.getLogger("flatshot")


def settings_in_force(
    anatomy: Anatomy, wanted: PostProcessSettings | None, changes: dict[str, Any]
) -> PostProcessSettings:
    """The settings in force: those wanted or else in the file or else usual, with the changes."""
    columns = anatomy.class_predictions.shape[-1] if anatomy.class_predictions.shape else 0
    if wanted is not None:
        settings = wanted.override(**changes)
    elif anatomy.options is not None:
        settings = PostProcessSettings.from_options(anatomy.options, **changes)
    else:
        settings = PostProcessSettings.usual(columns - 1, **changes)
    if columns - settings.num_classes not in (0, 1):
        raise ConfigError(
            f"num_classes is {settings.num_classes}, and the model has {columns} columns of "
            "scores; they must be as many, or one more with the background"
        )
    return settings


def settings_in_file(anatomy: Anatomy) -> PostProcessSettings | None:
    """The settings that the model holds; None without any, or if they cannot be used."""
    if anatomy.options is None:
        return None
    try:
        return PostProcessSettings.from_options(anatomy.options)
    except ConfigError as error:
        _log.warning("the settings in the model cannot be used as they are: %s", error)
        return None


def anchors_in_force(anatomy: Anatomy, given: npt.ArrayLike | None) -> Anchors | None:
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


def choose(
    anatomy: Anatomy,
    anchors: Anchors | None,
    wish: PostProcess,
    source: str,
) -> Literal["op", "numpy"]:
    """Where the post-processing runs.

    Raises:
        ConfigError: the model cannot honour the wish.
        ModelError: a cut model without anchors.
    """
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


def labels_in_force(
    labels: StrPath | Labels | None, data: bytes, num_classes: int
) -> Labels | None:
    """The names given, or those that are packed into the model."""
    if labels is None:
        try:
            found = packed_labels(data)
        except FormatError as error:
            _log.warning("no names: %s", error)
            return None
    else:
        found = labels if isinstance(labels, Labels) else load_labels(labels)
    if found is not None and found.by_place and len(found) == num_classes + 1:
        _log.warning(
            "the list has one name more than the model has classes: its first, %r, is taken for "
            "the background's",
            found.name(0),
        )
        found = found.without_first()
    if found is not None and len(found) != num_classes:
        _log.warning(
            "the labels go up to class %d and the model has %d: names may be those of others",
            len(found),
            num_classes,
        )
    return found


def patched(
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
