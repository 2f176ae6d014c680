"""Networks that take other pixels than most: the graph says so, the model, and a Detector obeys."""

from pathlib import Path

import numpy as np
import pytest

from flatshot.conversion.convert import convert
from flatshot.demo.tiny import write_tiny_checkpoint
from flatshot.formats.detector_graph import INPUT
from flatshot.formats.graphdef import read_binary
from flatshot.formats.normalization import ATTRIBUTE, read_normalization
from flatshot.models.export import export
from flatshot.runtime.detector import Detector

RESNET = """
model { ssd {
  num_classes: 2
  image_resizer { fixed_shape_resizer { height: 160 width: 160 } }
  feature_extractor {
    type: "ssd_resnet50_v1_fpn" depth_multiplier: 0.03 min_depth: 2
    fpn { additional_layer_depth: 8 }
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true } }
  }
  box_predictor { weight_shared_convolutional_box_predictor {
    depth: 8 num_layers_before_predictor: 1 share_prediction_tower: true
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true } }
  } }
  anchor_generator { multiscale_anchor_generator { aspect_ratios: 1 } }
  post_processing { score_converter: SIGMOID }
} }
"""
MEANS = (123.68, 116.779, 103.939)


@pytest.mark.parametrize("cut", [False, True])
def test_resnets_pixels_lose_the_means_of_imagenet(tmp_path: Path, cut: bool) -> None:
    """From the extractor through the graph's file and the model to what the network is fed."""
    write_tiny_checkpoint(tmp_path, RESNET)
    graph = read_binary(export(tmp_path, max_detections=100).to_bytes())
    model = convert(graph, cut=cut).to_bytes()
    image = np.random.default_rng(5).integers(0, 256, (160, 160, 3)).astype(np.uint8)
    found = Detector(model, score_threshold=0.0)(image)
    by_hand = _fed(bytes(model), image.astype(np.float32) - np.array(MEANS, np.float32))
    np.testing.assert_allclose(np.sort(found.scores)[-10:], np.sort(by_hand)[-10:], atol=1e-5)


def test_grey_pixels_are_taken_as_they_are(tmp_path: Path) -> None:
    """Upstream takes means away from three channels only."""
    grey = RESNET.replace("width: 160", "width: 160 convert_to_grayscale: true")
    write_tiny_checkpoint(tmp_path, grey)
    graph = export(tmp_path, max_detections=100)
    record = graph.by_name[INPUT].attrs[ATTRIBUTE]
    assert isinstance(record, bytes)
    assert read_normalization(record, 1) == ((1.0,), (0.0,))


def _fed(
    model: bytes, pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The highest score of each anchor, or of each detection, that LiteRT gives for `pixels`."""
    from tests import litert

    outputs = litert.run(model, pixels[np.newaxis])
    if len(outputs) == 2:  # raw outputs: the background is no class
        scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = outputs[1][0, :, 1:].max(axis=1)
        return scores
    return np.asarray(outputs[2][0], np.float32)
