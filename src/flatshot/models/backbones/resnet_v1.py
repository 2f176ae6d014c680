"""ResNet V1 with 50, 101 or 152 layers.

Sources: He et al. 2015, arXiv 1512.03385, table 1; `slim/nets/{resnet_v1,resnet_utils}.py` as the
Object Detection API calls them: the step from one block to the next is a pooling of its own.
"""

from dataclasses import replace

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import add_residual, pad_sides, pad_to_multiple
from flatshot.models.scoped import Scoped

# The number of units of each block, by the number of layers.
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# Channels inside a block's units before the multiplier; a unit gives four times as many.
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
STEM_DEPTH = 64
# Of `resnet_arg_scope`.
BASE = Hyperparams(BatchNorm(epsilon=1e-5, scale=True, center=True), "RELU")


def scope(layers: int) -> str:
    """The prefix of variables of the network with so many layers."""
    return f"FeatureExtractor/resnet_v1_{layers}"


def resnet_v1(
    builder: GraphBuilder,
    image: Tensor,
    config: FeatureExtractorConfig,
    layers: int,
    hyperparams: Hyperparams = BASE,
) -> dict[str, Tensor]:
    """The maps `block1` to `block4`, each before the step to the next.

    Args:
        builder: the graph to add to.
        image: (1, height, width, channels).
        config: the extractor's section.
        layers: 50, 101 or 152.
        hyperparams: what follows convolutions.
    """
    variables = scope(layers)
    net = pad_to_multiple(builder, image, config.pad_to_multiple, variables)
    root = Scoped(builder, variables, f"{variables}/resnet_v1_{layers}", hyperparams)
    net = pad_sides(builder, net, 3, 3, root.operations)
    net = root.conv(net, "conv1", STEM_DEPTH, 7, 2, padding="VALID")
    net = root.pool(net, "MaxPool", "pool1/MaxPool", 3, 2)
    scale = scaled_depth(config)
    blocks = {}
    for number, (width, units) in enumerate(zip(WIDTHS, UNITS[layers], strict=True), start=1):
        block = root.inner(f"block{number}")
        for unit in range(1, units + 1):
            net = _bottleneck(block.inner(f"unit_{unit}/bottleneck_v1"), net, scale(width))
        blocks[f"block{number}"] = net
        if number < len(WIDTHS):
            net = block.pool(net, "MaxPool", "MaxPool2D/MaxPool", 1, 2)
    return blocks


def overridden(config: FeatureExtractorConfig) -> Hyperparams:
    """What follows convolutions where the configuration's hyperparameters are for the backbone.

    Activation, center and whether there is batch norm at all; `resnet_arg_scope` stands inside and
    keeps its epsilon and its gamma.
    """
    if not config.override_base_hyperparams:
        return BASE
    norm = config.hyperparams.batch_norm
    if norm is not None:
        norm = replace(norm, epsilon=1e-5, scale=True)
    return Hyperparams(norm, config.hyperparams.activation)


def _bottleneck(unit: Scoped, net: Tensor, width: int) -> Tensor:
    """1x1 to `width`, 3x3, 1x1 to four times as many; and what came in is added."""
    linear = unit.following("NONE")
    depth = EXPANSION * width
    shortcut = net if net.depth == depth else linear.conv(net, "shortcut", depth)
    inner = unit.conv(net, "conv1", width)
    inner = unit.conv(inner, "conv2", width, 3)
    inner = linear.conv(inner, "conv3", depth)
    total = add_residual(unit.builder, shortcut, inner, f"{unit.operations}/add")
    return unit.builder.add("Relu", f"{unit.operations}/Relu", [total], total.shape)
