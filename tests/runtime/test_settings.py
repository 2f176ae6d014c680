"""The settings: the operator's options, checked."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import ConfigError
from flatshot.formats.custom_options import read_options, write_options
from flatshot.runtime.settings import PostProcessSettings
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
    with pytest.raises(ConfigError, match="no such post-processing setting: nms"):
        BASE.override(nms=True)


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


def test_the_fast_kind_does_not_look_at_detections_per_class() -> None:
    """A file may hold 0 there, as some do, until the regular kind is asked for."""
    fast = dataclasses.replace(BASE, use_regular_nms=False, detections_per_class=0)
    with pytest.raises(ConfigError, match="detections_per_class is 0"):
        fast.override(use_regular_nms=True)
    assert fast.override(use_regular_nms=True, detections_per_class=7).detections_per_class == 7
