"""SSD MobileNet V2 and SSDLite MobileNet V2: inverted residuals with linear bottlenecks.

Sources: Sandler et al. 2018, arXiv 1801.04381, table 2; `slim/nets/mobilenet/{mobilenet_v2,
mobilenet,conv_blocks}.py`; `object_detection/models/ssd_mobilenet_v2_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.detection_config import BatchNorm, FeatureExtractorConfig, Hyperparams
from flatshot.models.feature_maps import extend
from flatshot.models.layers import conv2d, depthwise_conv2d

SCOPE = "FeatureExtractor/MobilenetV2"
# (expansion, depth, stride) of the 17 blocks.
BLOCKS = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 24, 1),
    (6, 32, 2),
    *((6, 32, 1),) * 2,
    (6, 64, 2),
    *((6, 64, 1),) * 3,
    *((6, 96, 1),) * 3,
    (6, 160, 2),
    *((6, 160, 1),) * 2,
    (6, 320, 1),
)
TAPPED_BLOCK = 13  # its expansion is `layer_15/expansion_output`
LAST_DEPTH = 1280
# Of `V2_DEF` and `training_scope`. The former stands inside the config's own hyperparameters and
# sets activation, normaliser, `center` and `scale`: of the config's only epsilon has a say.
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "RELU_6")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    hyperparams = BASE
    if config.override_base_hyperparams and config.hyperparams.batch_norm:
        epsilon = config.hyperparams.batch_norm.epsilon
        hyperparams = replace(BASE, batch_norm=BatchNorm(epsilon, scale=True, center=True))

    def scale(depth: int) -> int:
        return make_divisible(depth * config.depth_multiplier, 8, config.min_depth)

    net = _identity(builder, image, f"{SCOPE}/input")
    net = conv2d(builder, net, scale(32), 3, 2, f"{SCOPE}/Conv", hyperparams)
    taps = []
    for number, (expansion, depth, stride) in enumerate(BLOCKS):
        scope = f"{SCOPE}/expanded_conv" + (f"_{number}" if number else "")
        # The first block's expansion of 1 need not be a multiple of 8.
        inner = make_divisible(net.depth * expansion, 8 if number else 1)
        net, expanded = _expanded_conv(
            builder, net, inner, scale(depth), stride, scope, hyperparams
        )
        if number == TAPPED_BLOCK:
            taps.append(expanded)
            if config.num_layers == 1:
                return taps
    net = conv2d(builder, net, scale(LAST_DEPTH), 1, 1, f"{SCOPE}/Conv_1", hyperparams)
    return extend(builder, [*taps, net], config, SCOPE, "layer_19")


def make_divisible(value: float, divisor: int, minimum: int | None = None) -> int:
    """`value` to the nearest multiple of `divisor`, at least `minimum`, never 10 % lower.

    Source: `_make_divisible` of `slim/nets/mobilenet/mobilenet.py`.
    """
    lowest = divisor if minimum is None else minimum
    rounded = max(lowest, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _expanded_conv(
    builder: GraphBuilder,
    net: Tensor,
    inner: int,
    depth: int,
    stride: int,
    scope: str,
    hyperparams: Hyperparams,
) -> tuple[Tensor, Tensor]:
    """Expand, filter depthwise, project; and add the input where stride and depth allow it.

    Returns:
        The block's output and its expansion.
    """
    block_input = _identity(builder, net, f"{scope}/input")
    net = block_input
    if inner > net.depth:
        net = conv2d(builder, net, inner, 1, 1, f"{scope}/expand", hyperparams)
        net = _identity(builder, net, f"{scope}/expansion_output")
    expanded = net
    net = depthwise_conv2d(builder, net, 3, stride, f"{scope}/depthwise", hyperparams)
    net = _identity(builder, net, f"{scope}/depthwise_output")
    linear = replace(hyperparams, activation="NONE")
    net = conv2d(builder, net, depth, 1, 1, f"{scope}/project", linear)
    net = _identity(builder, net, f"{scope}/projection_output")
    if stride == 1 and net.depth == block_input.depth:
        net = builder.add("AddV2", f"{scope}/add", [net, block_input], net.shape)
    return _identity(builder, net, f"{scope}/output"), expanded


def _identity(builder: GraphBuilder, net: Tensor, name: str) -> Tensor:
    return builder.add("Identity", name, [net], net.shape)
