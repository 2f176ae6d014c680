"""A checkpoint of a tiny detector with random weights: real files, made in a moment.

It finds nothing. It serves to see the whole road work, and as a small input for tests.
"""

import math
import zlib
from pathlib import Path

import numpy as np

from flatshot.formats import files
from flatshot.formats.checkpoint import write_checkpoint
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import Array
from flatshot.formats.pipeline import read_pipeline
from flatshot.models.detection_config import DetectionConfig, read_config
from flatshot.models.export import build_graph

PIPELINE = """\
# A tiny SSD MobileNet V1: a quarter of the width, 96 x 96 pixels, three classes.
model {
  ssd {
    num_classes: 3
    image_resizer { fixed_shape_resizer { height: 96 width: 96 } }
    feature_extractor {
      type: "ssd_mobilenet_v1"
      depth_multiplier: 0.25
      min_depth: 8
      conv_hyperparams { activation: RELU_6 batch_norm { scale: true epsilon: 0.001 } }
    }
    box_coder { faster_rcnn_box_coder { } }
    box_predictor {
      convolutional_box_predictor { conv_hyperparams { activation: RELU_6 } use_dropout: false }
    }
    anchor_generator {
      ssd_anchor_generator {
        aspect_ratios: 1.0
        aspect_ratios: 2.0
        aspect_ratios: 0.5
        aspect_ratios: 3.0
        aspect_ratios: 0.3333
      }
    }
    post_processing {
      batch_non_max_suppression {
        score_threshold: 0.3
        iou_threshold: 0.6
        max_detections_per_class: 100
        max_total_detections: 100
      }
      score_converter: SIGMOID
    }
  }
}
"""


def write_tiny_checkpoint(directory: StrPath, pipeline: str = PIPELINE) -> Path:
    """Write `model.ckpt.*`, `checkpoint` and `pipeline.config` into `directory`.

    Args:
        directory: made if it is not there.
        pipeline: the configuration of any detector that Flatshot builds.

    Returns:
        The checkpoint's prefix.

    Raises:
        FlatshotError: the configuration cannot be built, or the place cannot be written.
    """
    config = read_config(read_pipeline(pipeline))
    prefix = Path(directory) / "model.ckpt"
    tensors = {name: random_value(name, shape) for name, shape in variable_shapes(config).items()}
    write_checkpoint(prefix, {**tensors, "global_step": np.array(0, np.int64)})
    files.write_bytes(prefix.with_name("pipeline.config"), pipeline.encode())
    return prefix


def variable_shapes(config: DetectionConfig) -> dict[str, tuple[int, ...]]:
    """The variables that the detector of `config` reads, by name."""
    graph = build_graph(config, None)
    shapes = {}
    for node in graph:
        value = node.attrs.get("value")
        if f"{node.name}/read" in graph.by_name and isinstance(value, np.ndarray):
            shapes[node.name] = value.shape
    return shapes


def random_value(name: str, shape: tuple[int, ...]) -> Array:
    """A value for a variable that depends on nothing but its name and shape.

    Filters keep the size of what flows through them (He et al. 2015, arXiv 1502.01852); the rest
    is near what training leaves.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.removesuffix("/ExponentialMovingAverage").rpartition("/")[2]
    if kind in ("gamma", "moving_variance"):
        value = rng.uniform(0.7, 1.3, shape)
    elif kind in ("weights", "depthwise_weights"):
        fan_in = math.prod(shape[:2] if kind == "depthwise_weights" else shape[:3])
        value = rng.normal(0, math.sqrt(2 / fan_in), shape)
    else:
        value = rng.normal(0, 0.2, shape)
    return value.astype(np.float32)
