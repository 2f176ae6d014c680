"""ResNet V1 of TensorFlow 2: where the step from one stage to the next lies in its first unit.

Sources: He et al. 2015, arXiv 1512.03385, table 1; `keras/applications/resnet.py` under
`object_detection/models/keras_models/resnet_v1.py`.
"""

from flatshot.models.backbones.keras import backbone_hyperparams
from flatshot.models.backbones.resnet_v1 import (
    BASE,
    EXPANSION,
    STEM_DEPTH,
    UNITS,
    WIDTHS,
    scope,
)
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import add_residual, pad, pad_to_multiple
from flatshot.models.scoped import Scoped


def resnet_v1(
    builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig, layers: int
) -> dict[str, Tensor]:
    """The maps `block1` to `block4`, of the strides 4 to 32.

    Args:
        builder: the graph to add to.
        image: (1, height, width, channels).
        config: the extractor's section.
        layers: 50, 101 or 152.
    """
    variables = scope(layers)
    net = pad_to_multiple(builder, image, config.pad_to_multiple, variables)
    root = Scoped(builder, variables, variables, backbone_hyperparams(config, BASE))
    # Of all its strided convolutions this one alone has a kernel that needs padding.
    net = pad(builder, net, 7, root.operations)
    scale = scaled_depth(config)
    net = root.conv(net, "conv1", scale(STEM_DEPTH), 7, 2, padding="VALID")
    net = root.pool(net, "MaxPool", "pool1/MaxPool", 3, 2)
    blocks = {}
    for number, (width, units) in enumerate(zip(WIDTHS, UNITS[layers], strict=True), start=1):
        block = root.inner(f"block{number}")
        stride = 1 if number == 1 else 2
        for unit in range(1, units + 1):
            inner = block.inner(f"unit_{unit}/bottleneck_v1")
            depths = scale(width), scale(EXPANSION * width)
            net = _bottleneck(inner, net, depths, stride, first=unit == 1)
            stride = 1
        blocks[f"block{number}"] = net
    return blocks


def _bottleneck(
    unit: Scoped, net: Tensor, depths: tuple[int, int], stride: int, *, first: bool
) -> Tensor:
    """1x1 to the first of `depths`, 3x3, 1x1 to the second; and what came in is added."""
    inside, outside = depths
    linear = unit.following("NONE")
    shortcut = linear.conv(net, "shortcut", outside, 1, stride) if first else net
    net = unit.conv(net, "conv1", inside, 1, stride)
    net = unit.conv(net, "conv2", inside, 3)
    net = linear.conv(net, "conv3", outside)
    total = add_residual(unit.builder, shortcut, net, f"{unit.operations}/add")
    return unit.activate(total)
