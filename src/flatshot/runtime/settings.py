"""The settings of the post-processing: those of the operator TFLite_Detection_PostProcess."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from flatshot.errors import ConfigError
from flatshot.formats.custom_options import Option

# What the operator reads where its options lack a key; every other number is then 0.
_WHEN_MISSING: dict[str, Option] = {"detections_per_class": 100, "use_regular_nms": False}
_COUNTS = ("max_detections", "max_classes_per_detection", "detections_per_class", "num_classes")
_SCALES = ("y_scale", "x_scale", "h_scale", "w_scale")
_INT32 = 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostProcessSettings:
    """How raw outputs become detections; the names are the option keys of the operator.

    Attributes:
        max_detections: boxes (fast) or detections (regular) that are kept of an image, from 1.
        max_classes_per_detection: classes that the fast kind reports for a box, from 1.
        detections_per_class: detections that the regular kind keeps of a class, from 1; the fast
            kind does not look at it.
        use_regular_nms: suppress within each class (regular) or across all of them (fast).
        nms_score_threshold: lowest score of a candidate, 0 to 1; equal scores stay.
        nms_iou_threshold: overlap above which the lower score goes, more than 0 and at most 1.
        num_classes: classes without the background, from 1.
        y_scale: divisor of the encoded y of the centre, more than 0, as the three that follow.
        x_scale: divisor of the encoded x of the centre.
        h_scale: divisor of the encoded logarithm of the height.
        w_scale: divisor of the encoded logarithm of the width.

    Raises:
        ConfigError: a value lies outside its range.
    """

    max_detections: int
    max_classes_per_detection: int
    detections_per_class: int
    use_regular_nms: bool
    nms_score_threshold: float
    nms_iou_threshold: float
    num_classes: int
    y_scale: float
    x_scale: float
    h_scale: float
    w_scale: float

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            # Some of Google's own files hold 0 where the fast kind never looks.
            least = 0 if name == "detections_per_class" and not self.use_regular_nms else 1
            if (
                isinstance(value, bool)
                or not isinstance(value, int)
                or not least <= value <= _INT32
            ):
                raise ConfigError(f"{name} is {value!r}; it must be a whole number from {least} up")
        if not isinstance(self.use_regular_nms, bool):
            raise ConfigError(f"use_regular_nms is {self.use_regular_nms!r}; give true or false")
        for name in _SCALES:
            value = _number(name, getattr(self, name))
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}; it must be finite and more than 0")
        # Comparisons with a NaN are false, so these refuse it as well.
        if not 0 <= _number("nms_score_threshold", self.nms_score_threshold) <= 1:
            raise ConfigError(
                f"nms_score_threshold is {self.nms_score_threshold}; scores run from 0 to 1"
            )
        if not 0 < _number("nms_iou_threshold", self.nms_iou_threshold) <= 1:
            raise ConfigError(
                f"nms_iou_threshold is {self.nms_iou_threshold}; it must be more than 0 and "
                "at most 1"
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Option]) -> "PostProcessSettings":
        """The settings in an operator's options.

        A missing key is read as the operator reads it: detections_per_class as 100,
        use_regular_nms as false, any other number as 0. Integers, floats and truth values stand
        in for each other. Keys that the operator ignores are left out.

        Raises:
            ConfigError: a value lies outside its range, which 0 does for most of them.
        """
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            value = options.get(field.name, _WHEN_MISSING.get(field.name, 0))
            if field.name in _COUNTS:
                values[field.name] = _whole(field.name, value)
            elif field.name == "use_regular_nms":
                values[field.name] = bool(value)
            else:
                values[field.name] = float(value)
        return cls(**values)

    def to_options(self) -> dict[str, Option]:
        """The options of an operator that does this, for `custom_options.write_options`."""
        return dataclasses.asdict(self)

    def override(self, **changes: Option | None) -> "PostProcessSettings":
        """These settings with `changes` by name; None keeps what is here.

        Raises:
            ConfigError: a name is no setting, or a value lies outside its range.
        """
        names = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - names):
            raise ConfigError(f"no such post-processing setting: {', '.join(unknown)}")
        given: dict[str, Any] = {k: v for k, v in changes.items() if v is not None}
        return dataclasses.replace(self, **given)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} is {value!r}; give a number")
    return float(value)


def _whole(name: str, value: Option) -> int:
    """`value` as the operator's AsInt32 reads it: floats lose their fraction."""
    if not math.isfinite(value):
        raise ConfigError(f"{name} is {value}; it must be a whole number from 1 up")
    return int(value)
