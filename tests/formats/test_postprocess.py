"""The settings: the operator's options, checked."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import ConfigError
from flatshot.formats.custom_options import read_options, write_options
from flatshot.formats.postprocess import PostProcessSettings, checked, keywords
from tests.runtime.tiny import OPTIONS

BASE = PostProcessSettings.from_options(OPTIONS)


def test_missing_keys_are_read_as_the_operator_reads_them() -> None:
    """The style of 2018, which has ten keys."""
    old = {k: v for k, v in OPTIONS.items() if k not in ("detections_per_class", "use_regular_nms")}
    got = PostProcessSettings.from_options(old | {"_output_quantized": True})
    assert got.detections_per_class == 100
    assert got.use_regular_nms is False
    with pytest.raises(ConfigError, match=r"nms_iou_threshold is 0\.0"):
        PostProcessSettings.from_options({k: v for k, v in old.items() if "iou" not in k})


def test_numbers_of_another_kind_are_taken() -> None:
    """Writers differ in whether a whole number is an integer or a float."""
    got = PostProcessSettings.from_options(
        OPTIONS | {"max_detections": 7.0, "y_scale": 10, "use_regular_nms": 1}
    )
    assert (got.max_detections, got.y_scale, got.use_regular_nms) == (7, 10.0, True)
    assert isinstance(got.max_detections, int)
    assert isinstance(got.y_scale, float)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_counts_that_are_no_number(value: float) -> None:
    """A float option can hold what no integer can."""
    with pytest.raises(ConfigError, match=f"num_classes is {value}"):
        PostProcessSettings.from_options(OPTIONS | {"num_classes": value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_detections", [0, -1, True, 2**31, 1.5, "3"]),
        ("max_classes_per_detection", [0]),
        ("detections_per_class", [0]),
        ("num_classes", [0]),
        ("use_regular_nms", [1, "yes"]),
        ("nms_score_threshold", [-1e-9, 1.001, float("nan"), float("inf"), True, "high"]),
        ("nms_iou_threshold", [0, -0.5, 1.001, float("nan")]),
        ("y_scale", [0, -1, float("nan"), float("inf")]),
        ("w_scale", [0.0]),
    ],
)
def test_values_out_of_range(name: str, values: list[Any]) -> None:
    """The message names the setting and what was given."""
    for value in values:
        with pytest.raises(ConfigError, match=f"{name} is"):
            BASE.override(**{name: value})


def test_override_keeps_what_is_none() -> None:
    """So that an option left out of a command line changes nothing."""
    assert BASE.override(max_detections=None) == BASE
    got = BASE.override(max_detections=5, use_regular_nms=False, y_scale=None)
    assert got == dataclasses.replace(BASE, max_detections=5, use_regular_nms=False)


def test_names_are_checked() -> None:
    """A misspelt name is an error that says what comes close; two spellings are one setting."""
    with pytest.raises(ConfigError, match="setting: nms_treshold; did you mean nms_"):
        BASE.override(nms_treshold=0.3)
    with pytest.raises(ConfigError, match="setting: quality; there are use_regular_nms, nms_score"):
        BASE.override(quality=1)
    with pytest.raises(ConfigError, match="scale_y and y_scale are one setting"):
        BASE.override(scale_y=4, y_scale=5)
    with pytest.raises(ConfigError, match="nms is 'both'; there are regular, fast"):
        BASE.override(nms="both")
    with pytest.raises(ConfigError, match="nms is True; there are regular, fast"):
        BASE.override(nms=True)


def test_keywords_and_option_keys_are_the_same() -> None:
    """Each setting goes by either of its names."""
    by_keyword = BASE.override(nms="fast", score_threshold=0.25, iou_threshold=0.5, scale_h=2)
    by_key = BASE.override(
        use_regular_nms=False, nms_score_threshold=0.25, nms_iou_threshold=0.5, h_scale=2
    )
    assert by_keyword == by_key
    assert checked({"nms": "regular", "max_detections": None}) == {"use_regular_nms": True}
    assert keywords({"nms": None, "labels": 1, "y_scale": 2}) == {"nms": None}


def test_numbers_of_numpy() -> None:
    """They are taken as what they are, and kept as Python's, which JSON and FlexBuffers know."""
    got = BASE.override(
        score_threshold=np.float32(0.3),
        iou_threshold=np.float64(0.5),
        max_detections=np.int64(7),
        scale_y=np.int32(4),
        use_regular_nms=np.bool_(False),
    )
    assert got.nms_score_threshold == float(np.float32(0.3))
    assert (got.nms_iou_threshold, got.max_detections, got.y_scale) == (0.5, 7, 4.0)
    assert got.use_regular_nms is False
    kinds = [float, float, int, float]
    names = ("nms_score_threshold", "nms_iou_threshold", "max_detections", "y_scale")
    assert [type(getattr(got, name)) for name in names] == kinds
    json.dumps(got.to_options())
    for wrong in (np.float32("nan"), np.bool_(True), np.array([0.3]), "abc", b"1", True):
        with pytest.raises(ConfigError, match="nms_score_threshold is"):
            BASE.override(score_threshold=wrong)
    with pytest.raises(ConfigError, match="max_detections is"):
        BASE.override(max_detections=np.float64(7))


def test_what_is_usual() -> None:
    """What a model without options is run with: CK's package of SSD MobileNet V1."""
    assert PostProcessSettings.usual(90, num_classes=3, scale_w=1).to_options() == {
        "use_regular_nms": True,
        "nms_score_threshold": 0.3,
        "nms_iou_threshold": 0.6,
        "max_detections": 100,
        "detections_per_class": 100,
        "max_classes_per_detection": 1,
        "num_classes": 3,
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 1.0,
    }


@given(
    st.builds(
        PostProcessSettings,
        max_detections=st.integers(1, 2**31 - 1),
        max_classes_per_detection=st.integers(1, 90),
        detections_per_class=st.integers(1, 1000),
        use_regular_nms=st.booleans(),
        nms_score_threshold=st.floats(0, 1, width=32),
        nms_iou_threshold=st.floats(0, 1, width=32, exclude_min=True),
        num_classes=st.integers(1, 1000),
        y_scale=st.floats(0, 1e3, width=32, exclude_min=True),
        x_scale=st.just(10.0),
        h_scale=st.just(5.0),
        w_scale=st.just(5.0),
    )
)
def test_the_way_through_the_options_and_back(settings: PostProcessSettings) -> None:
    """Bytes included: what is written into a model is what is read from it."""
    options = read_options(write_options(settings.to_options()))
    assert PostProcessSettings.from_options(options) == settings


def test_zero_where_the_fast_kind_never_looks() -> None:
    """Google's own files hold it; the operator's default stands for it, whoever asks later."""
    fast = OPTIONS | {"use_regular_nms": False, "detections_per_class": 0}
    assert PostProcessSettings.from_options(fast).detections_per_class == 100
    assert PostProcessSettings.from_options(fast, nms="regular").detections_per_class == 100
    chosen = PostProcessSettings.from_options(fast, nms="regular", detections_per_class=7)
    assert chosen.detections_per_class == 7
    # Where the regular kind looks it says that nothing is kept, which is no detector.
    with pytest.raises(ConfigError, match="detections_per_class is 0"):
        PostProcessSettings.from_options(OPTIONS | {"detections_per_class": 0})
    with pytest.raises(ConfigError, match="detections_per_class is 0"):
        PostProcessSettings.from_options(fast, detections_per_class=0)
