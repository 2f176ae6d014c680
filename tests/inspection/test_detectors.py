"""What `inspect` says of configurations and checkpoints: family, head, anchors, what builds."""

from pathlib import Path

import pytest

from flatshot.demo.tiny import PIPELINE, write_tiny_checkpoint
from flatshot.inspection.inspect import inspect
from tests.models.configs import extractor, predictor, ssd


def _config(folder: Path, *overrides: str) -> Path:
    path = folder / "pipeline.config"
    path.write_text(PIPELINE + "\n".join(overrides))
    return path


def test_a_configuration_that_builds(tmp_path: Path) -> None:
    """In words: TensorFlow's version, extractor, head, anchors, preprocessing, classes."""
    facts = inspect(_config(tmp_path)).facts
    assert facts["supported"] == "yes"
    assert facts["TensorFlow"] == "1"
    assert facts["feature extractor"] == "ssd_mobilenet_v1"
    assert facts["head"] == "convolutional, one for each feature map, filters of 1 x 1"
    assert (facts["anchors"], facts["anchor generator"]) == ("204", "ssd_anchor_generator")
    assert (facts["classes"], facts["background class"]) == ("3", "yes")
    assert facts["preprocessing"] == "resized to 96 x 96, then pixel x 0.00784314 + -1"


def test_a_shared_head_and_other_pixels(tmp_path: Path) -> None:
    """ResNet's pixels lose the means of ImageNet."""
    shared = (
        "box_predictor { weight_shared_convolutional_box_predictor { depth: 8 use_depthwise: true "
        "num_layers_before_predictor: 2 share_prediction_tower: true } }"
    )
    levels = "anchor_generator { multiscale_anchor_generator { aspect_ratios: 1 } }"
    size = "image_resizer { fixed_shape_resizer { height: 160 width: 160 } }"
    network = extractor("type: 'ssd_resnet50_v1_fpn' fpn { }")
    overrides = [ssd(f"{shared} {levels} {size} add_background_class: false"), network]
    facts = inspect(_config(tmp_path, *overrides)).facts
    assert facts["head"] == "weight-shared, one tower of 2 layers of 8, separable 3 x 3"
    assert facts["anchor generator"] == "multiscale_anchor_generator"
    assert facts["background class"] == "no"
    assert facts["preprocessing"].endswith("pixel x (1, 1, 1) + (-123.68, -116.779, -103.939)")


def test_a_configuration_that_does_not_build(tmp_path: Path) -> None:
    """What it is for is told all the same, and all reasons."""
    text = extractor("type: 'ssd_vgg_keras'") + predictor("box_code_size: 7")
    facts = inspect(_config(tmp_path, text)).facts
    assert (facts["TensorFlow"], facts["feature extractor"]) == ("2", "ssd_vgg_keras")
    assert facts["supported"].startswith("no: feature_extractor.type: 'ssd_vgg_keras'")
    assert "box_code_size" in facts["supported"]


def test_a_checkpoint_and_its_configuration(tmp_path: Path) -> None:
    """Its names tell the family; the configuration beside it what would be built."""
    write_tiny_checkpoint(tmp_path)
    facts = inspect(tmp_path).facts
    assert (facts["TensorFlow"], facts["network"]) == ("1", "MobilenetV1")
    assert facts["head"].startswith("convolutional, one for each feature map")
    assert (facts["builds"], facts["not used"]) == ("yes", "none")
    assert facts["moving averages"] == "none"


def test_a_checkpoint_that_lacks_something(tmp_path: Path) -> None:
    """What is missing is named, and what nobody asks for."""
    write_tiny_checkpoint(tmp_path)
    config = tmp_path / "pipeline.config"
    config.write_text(PIPELINE + extractor("use_depthwise: true"))
    facts = inspect(tmp_path).facts
    assert facts["builds"].startswith(
        "no: checkpoint and pipeline.config do not fit: the checkpoint"
    )
    fewer = ssd("anchor_generator { ssd_anchor_generator { num_layers: 4 } }")
    config.write_text(PIPELINE + extractor("num_layers: 4") + fewer)
    facts = inspect(tmp_path).facts
    assert facts["builds"] == "yes"
    assert "BoxPredictor_4/" in facts["not used"]
    assert "more" in facts["not used"]
    config.unlink()
    assert inspect(tmp_path).facts["pipeline.config"] == "none beside it"


@pytest.mark.parametrize(
    ("family", "network"),
    [
        ("ssd_mobilenet_v1_fpn", "MobilenetV1, feature pyramid"),
        ("ssdlite_mobiledet_cpu", "MobileDetCPU"),
        ("ssd_resnet50_v1_fpn", "resnet_v1_50, feature pyramid"),
    ],
)
def test_real_checkpoints_without_their_data(data: Path, family: str, network: str) -> None:
    """The index is enough to say all of it."""
    facts = inspect(data / "families" / family).facts
    assert facts["network"] == network
    assert facts["builds"] == "yes"
    assert "missing" in facts["data files"]
