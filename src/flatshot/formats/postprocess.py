"""The settings of the post-processing: those of the operator TFLite_Detection_PostProcess.

`PostProcessSettings` is their one declaration: each field says the option key (its name), what
Python and the command line call it, the environment variables of Collective Knowledge, its range,
and what stands for it where it is left out. Whoever takes settings, the compiler, the detector, the
command line, asks here.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np

from flatshot.errors import ConfigError
from flatshot.formats.custom_options import Option

_INT32 = 2**31 - 1
_SETTING = "setting"
_KINDS = {"regular": True, "fast": False}


@dataclass(frozen=True)
class Setting:
    """What is declared of one setting.

    Attributes:
        keyword: its name in Python's keywords; with hyphens, its flag on the command line.
        help: what it says, in a line.
        variables: Collective Knowledge's names for it, the later of its history first.
        usual: what it is where a model without options is run.
        missing: what the operator takes where its options lack the key.
        least: the lowest value; with `above`, just above it.
        most: the highest value.
        above: whether `least` itself is too low.
        key: the option key of the operator.
        type: int, float or bool.
    """

    keyword: str
    help: str
    variables: tuple[str, ...]
    usual: Option | None
    missing: Option = 0
    least: float = 1
    most: float = _INT32
    above: bool = False
    key: str = ""
    type: type = int

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.keyword.replace("_", "-")

    def check(self, value: object) -> Option:
        """`value` as a Python number or truth; NumPy's are taken as well.

        Raises:
            ConfigError: it is of another kind, or out of range.
        """
        if self.type is bool:
            return _truth(self.key, value)
        kind = Integral if self.type is int else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ConfigError(f"{self.key} is {value!r}; give {self._range()}")
        number: int | float = self.type(value)
        # Comparisons with a NaN are false, so these refuse it as well.
        low = self.least < number if self.above else self.least <= number
        if not (low and number <= self.most and math.isfinite(number)):
            raise ConfigError(f"{self.key} is {number}; it must be {self._range()}")
        return number

    def read(self, options: Mapping[str, Option]) -> Option:
        """The value in the options of an operator, coerced as the operator does.

        Raises:
            ConfigError: a count that is no finite number.
        """
        value = options.get(self.key, self.missing)
        if self.type is int and not math.isfinite(value):
            raise ConfigError(f"{self.key} is {value}; it must be {self._range()}")
        number: Option = self.type(value)
        return number

    def _range(self) -> str:
        what = "a whole number" if self.type is int else "a number"
        if self.most == _INT32:
            return f"{what} from {self.least:g} up"
        if self.most == math.inf:
            return f"{what} more than {self.least:g}, and finite"
        bound = "more than" if self.above else "from"
        return f"{what} {bound} {self.least:g} to {self.most:g}"


def _is(setting: Setting) -> dict[str, Setting]:
    return {_SETTING: setting}


def _scale(axis: str, what: str, usual: float) -> dict[str, Setting]:
    return _is(
        Setting(
            keyword=f"scale_{axis}",
            help=f"Divisor of encoded {what}.",
            variables=(f"SCALE_{axis.upper()}", f"{axis.upper()}_SCALE"),
            usual=usual,
            least=0,
            most=math.inf,
            above=True,
        )
    )


@dataclass(frozen=True, kw_only=True)
class PostProcessSettings:
    """How raw outputs become detections; the names are the option keys of the operator.

    Numbers may be NumPy's; they are kept as Python's.

    Attributes:
        use_regular_nms: suppress within each class (regular) or across all of them (fast).
        nms_score_threshold: lowest score of a candidate, 0 to 1; equal scores stay.
        nms_iou_threshold: overlap above which the lower score goes, more than 0 and at most 1.
        max_detections: boxes (fast) or detections (regular) that are kept of an image, from 1.
        detections_per_class: detections that the regular kind keeps of a class, from 1; the fast
            kind does not look at it.
        max_classes_per_detection: classes that the fast kind reports for a box, from 1.
        num_classes: classes without the background, from 1.
        y_scale: divisor of the encoded y of the centre, more than 0, as the three that follow.
        x_scale: divisor of the encoded x of the centre.
        h_scale: divisor of the encoded logarithm of the height.
        w_scale: divisor of the encoded logarithm of the width.

    Raises:
        ConfigError: a value lies outside its range.
    """

    # The usual values are those of Collective Knowledge's package of SSD MobileNet V1.
    use_regular_nms: bool = field(
        metadata=_is(
            Setting("nms", "Suppress per class, or across classes.", ("USE_NMS",), True, False)
        )
    )
    nms_score_threshold: float = field(
        metadata=_is(
            Setting(
                "score_threshold",
                "Lowest score that is kept.",
                ("NMS_SCORE_THRESHOLD",),
                usual=0.3,
                least=0,
                most=1,
            )
        )
    )
    nms_iou_threshold: float = field(
        metadata=_is(
            Setting(
                "iou_threshold",
                "Overlap above which the lower score goes.",
                ("NMS_IOU_THRESHOLD",),
                usual=0.6,
                least=0,
                most=1,
                above=True,
            )
        )
    )
    max_detections: int = field(
        metadata=_is(
            Setting("max_detections", "Detections kept of an image.", ("MAX_DETECTIONS",), 100)
        )
    )
    detections_per_class: int = field(
        metadata=_is(
            Setting(
                "detections_per_class",
                "Kept of a class (regular).",
                ("DETECTIONS_PER_CLASS",),
                usual=100,
                missing=100,
            )
        )
    )
    max_classes_per_detection: int = field(
        metadata=_is(
            Setting(
                "max_classes_per_detection",
                "Classes a box (fast).",
                ("MAX_CLASSES_PER_DETECTION",),
                usual=1,
            )
        )
    )
    num_classes: int = field(
        metadata=_is(
            # The scores of the model say how many.
            Setting("num_classes", "Classes without background.", ("NUM_CLASSES",), usual=None)
        )
    )
    y_scale: float = field(metadata=_scale("y", "y centres", 10.0))
    x_scale: float = field(metadata=_scale("x", "x centres", 10.0))
    h_scale: float = field(metadata=_scale("h", "heights", 5.0))
    w_scale: float = field(metadata=_scale("w", "widths", 5.0))

    def __post_init__(self) -> None:
        for key, setting in DECLARED.items():
            object.__setattr__(self, key, setting.check(getattr(self, key)))

    @classmethod
    def from_options(
        cls, options: Mapping[str, Option], /, **changes: Any
    ) -> "PostProcessSettings":
        """The settings in an operator's options, with `changes` over them.

        A missing key is read as the operator reads it: detections_per_class as 100,
        use_regular_nms as false, any other number as 0. Integers, floats and truth values stand
        in for each other. Keys that the operator ignores are left out. Some of Google's own files
        hold 0 for detections_per_class beside the fast kind, which never looks: that is no wish,
        and means the operator's default.

        Args:
            options: of the operator, as `custom_options.read_options` gives them.
            changes: as `override` takes them; they may mend what the file holds.

        Raises:
            ConfigError: a value lies outside its range, which 0 does for most of them.
        """
        values = {key: setting.read(options) for key, setting in DECLARED.items()}
        if not values["use_regular_nms"] and not values["detections_per_class"]:
            values["detections_per_class"] = DECLARED["detections_per_class"].missing
        given: dict[str, Any] = {**values, **checked(changes)}
        return cls(**given)

    @classmethod
    def usual(cls, num_classes: int, /, **changes: Any) -> "PostProcessSettings":
        """The settings for a model that holds none, with `changes` over them.

        Raises:
            ConfigError: see `override`.
        """
        values: dict[str, Any] = {key: setting.usual for key, setting in DECLARED.items()}
        return cls(**{**values, "num_classes": num_classes, **checked(changes)})

    def to_options(self) -> dict[str, Option]:
        """The options of an operator that does this, for `custom_options.write_options`."""
        return dataclasses.asdict(self)

    def override(self, **changes: Any) -> "PostProcessSettings":
        """These settings with `changes`, by option key or keyword; None keeps what is here.

        `score_threshold=0.3` and `nms_score_threshold=0.3` are the same, and so are `nms="fast"`
        and `use_regular_nms=False`.

        Raises:
            ConfigError: a name is no setting, or is given in both spellings, or a value lies
                outside its range.
        """
        given: dict[str, Any] = checked(changes)
        return dataclasses.replace(self, **given)


# Option key -> what is declared of it.
DECLARED: Mapping[str, Setting] = {
    item.name: dataclasses.replace(item.metadata[_SETTING], key=item.name, type=item.type)
    for item in dataclasses.fields(PostProcessSettings)
}
_KEYS = {setting.keyword: key for key, setting in DECLARED.items()} | {key: key for key in DECLARED}


def checked(changes: Mapping[str, object]) -> dict[str, Option]:
    """Changes of settings by option key, each in its range; those that are None are left out.

    Args:
        changes: by option key or keyword.

    Raises:
        ConfigError: a name is no setting, or is given in both spellings, or a value lies outside
            its range.
    """
    found: dict[str, Option] = {}
    for name, value in changes.items():
        if name not in _KEYS:
            close = difflib.get_close_matches(name, _KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(DECLARED)}"
            raise ConfigError(f"no such post-processing setting: {name}; {hint}")
        if value is None:
            continue
        key = _KEYS[name]
        if key in found:
            raise ConfigError(f"{DECLARED[key].keyword} and {key} are one setting: give one")
        if name == "nms":
            value = _kind(value)
        found[key] = DECLARED[key].check(value)
    return found


def keywords(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `changes` that are named as settings are in Python's keywords."""
    names = {setting.keyword for setting in DECLARED.values()}
    return {name: value for name, value in changes.items() if name in names}


def _kind(value: object) -> bool:
    if not isinstance(value, str) or value not in _KINDS:
        raise ConfigError(f"nms is {value!r}; there are {', '.join(_KINDS)}")
    return _KINDS[value]


def _truth(key: str, value: object) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ConfigError(f"{key} is {value!r}; give true or false")
