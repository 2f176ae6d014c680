"""pipeline.config: merged as protobuf merges, refused where it is not understood."""

import logging
from pathlib import Path

import pytest

from flatshot.demo.tiny import PIPELINE
from flatshot.errors import ConfigError, FileError, FormatError
from flatshot.formats.pipeline import is_pipeline, load_pipeline, merge_pipeline, read_pipeline


def test_scalars_replace_messages_merge_lists_append_and_a_oneof_switches() -> None:
    """`--config_override` is `text_format.Merge`."""
    pipeline = read_pipeline(PIPELINE)
    merge_pipeline(
        pipeline,
        "model { ssd { num_classes: 7"
        " post_processing { batch_non_max_suppression { iou_threshold: 0.5 } }"
        " anchor_generator { ssd_anchor_generator { aspect_ratios: 4 } } } }",
        "config_override",
    )
    ssd = pipeline.model.ssd
    assert ssd.num_classes == 7
    nms = ssd.post_processing.batch_non_max_suppression
    assert (nms.iou_threshold, nms.max_total_detections) == (0.5, 100)
    ratios = ssd.anchor_generator.ssd_anchor_generator.aspect_ratios
    assert (len(ratios), ratios[-1]) == (6, 4.0)
    merge_pipeline(pipeline, "model { faster_rcnn { } }", "config_override")
    assert pipeline.model.WhichOneof("model") == "faster_rcnn"


def test_what_the_file_leaves_out_has_the_defaults_of_the_protos() -> None:
    """A few of each section."""
    ssd = read_pipeline("model { ssd { } }").model.ssd
    assert ssd.add_background_class is True
    assert ssd.feature_extractor.min_depth == 16
    assert ssd.box_coder.faster_rcnn_box_coder.height_scale == 5.0
    assert ssd.post_processing.batch_non_max_suppression.max_total_detections == 100


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("model {\n  ssd { num_classes 3 }\n}", FormatError, "x: line 2, column 21: "),
        ("model { ssd { num_classes: many } }", FormatError, "x: line 1, column 28: "),
        ("model {", FormatError, "x: "),
        (b"model { \xff }", FormatError, "x: line 1, column 9: "),
        ("", ConfigError, "x: .*no `model` section"),
        (
            "model { ssd {\n num_class: 3 } }",
            ConfigError,
            "line 2, column 2: no field",
        ),
        ("modle { } model { }", ConfigError, "line 1, column 1: no field 'modle'"),
        ("model { } # a\u2028b\n  c: 1", ConfigError, "line 2, column 3: no field 'c'"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    text: str | bytes, error: type[Exception], reason: str
) -> None:
    """Line and column from 1."""
    with pytest.raises(error, match=reason):
        read_pipeline(text, "x")


@pytest.mark.parametrize("depth", [40, 100_000])
def test_deep_nesting_is_a_value_or_a_format_error(depth: int) -> None:
    """Python's stack never decides."""
    try:
        read_pipeline(PIPELINE + "train_config " + "{ a " * depth + "{}" + "}" * depth)
    except FormatError as error:
        reason = str(error)
    else:
        reason = "read"
    assert ("nested too deep" in reason) == (depth > 40)


def test_a_field_of_an_older_release_is_accepted_with_a_notice(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`batch_norm_trainable` stands in released configurations."""
    # The command sets its own handlers, and keeps what it logs from those of others.
    monkeypatch.setattr(logging.getLogger("flatshot"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="flatshot"):
        read_pipeline(
            "model { ssd { feature_extractor {\n batch_norm_trainable: true } } }", "old.config"
        )
    # A set: pytest hears a logger of its own handlers and of its parent's twice.
    assert set(caplog.messages) == {
        "old.config, line 2: batch_norm_trainable is from an older release and has no effect: "
        "batch norm is never trained at export"
    }


def test_training_sections_may_hold_anything(tmp_path: Path) -> None:
    """They do not shape the inference graph; the file is read with an override."""
    path = tmp_path / "pipeline.config"
    path.write_text(PIPELINE + "train_config { a: [1, 2] b < c: 'x' 'y' > } eval_config { d: -1 }")
    assert load_pipeline(path, "model { ssd { num_classes: 5 } }").model.ssd.num_classes == 5
    assert is_pipeline(path.read_bytes())
    assert not is_pipeline(b"item { id: 1 }")
    with pytest.raises(FileError, match="cannot read"):
        load_pipeline(tmp_path / "none")
