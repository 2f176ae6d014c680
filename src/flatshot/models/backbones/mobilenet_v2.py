"""MobileNet V2: inverted residuals with linear bottlenecks.

Sources: Sandler et al. 2018, arXiv 1801.04381, table 2; `slim/nets/mobilenet/{mobilenet_v2,
mobilenet,conv_blocks}.py`.
"""

from dataclasses import replace

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import divisible_depth, make_divisible
from flatshot.models.layers import (
    add_residual,
    conv2d,
    depthwise_conv2d,
    identity,
    pad,
    pad_to_multiple,
    padding_of,
    without_activation,
)

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
LAST_DEPTH = 1280
# Of `V2_DEF` and `training_scope`. The former stands inside the config's own hyperparameters and
# sets activation, normaliser, `center` and `scale`: of the config's only epsilon has a say.
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "RELU_6")


def base_hyperparams(config: FeatureExtractorConfig, base: Hyperparams = BASE) -> Hyperparams:
    """`base`, with the configuration's epsilon where it says so."""
    if not (config.override_base_hyperparams and config.hyperparams.batch_norm):
        return base
    epsilon = config.hyperparams.batch_norm.epsilon
    return replace(base, batch_norm=BatchNorm(epsilon, scale=True, center=True))


def mobilenet_v2(
    builder: GraphBuilder,
    image: Tensor,
    config: FeatureExtractorConfig,
    *,
    last_depth: int | None = LAST_DEPTH,
    hyperparams: Hyperparams | None = None,
) -> dict[str, Tensor]:
    """The layers of `image`: `layer_1` to `layer_19`, and `layer_N/expansion_output` of blocks.

    Args:
        builder: the graph to add to.
        image: (1, height, width, channels).
        config: the extractor's section.
        last_depth: channels of the last layer, before the multiplier; None leaves it out.
        hyperparams: what follows convolutions; if not given, as the configuration says.
    """
    hyperparams = hyperparams or base_hyperparams(config)
    explicit = config.use_explicit_padding
    scale = divisible_depth(config)
    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    net = identity(builder, net, f"{SCOPE}/MobilenetV2/input")
    if explicit:
        net = pad(builder, net, 3, SCOPE)
    padding = padding_of(explicit=explicit)
    net = conv2d(builder, net, scale(32), 3, 2, f"{SCOPE}/Conv", hyperparams, padding=padding)
    layers = {"layer_1": net}
    for number, (expansion, depth, stride) in enumerate(BLOCKS):
        scope = f"{SCOPE}/expanded_conv" + (f"_{number}" if number else "")
        # The first block's expansion of 1 need not be a multiple of 8.
        inner = make_divisible(net.depth * expansion, 8 if number else 1)
        block = _Block(builder, scope, hyperparams, explicit=explicit)
        net, expanded = block.build(net, inner, scale(depth), stride)
        layers[f"layer_{number + 2}/expansion_output"] = expanded
        layers[f"layer_{number + 2}"] = net
    if last_depth is not None:
        if explicit:
            net = pad(builder, net, 1, SCOPE)
        layers["layer_19"] = conv2d(
            *(builder, net, scale(last_depth), 1, 1, f"{SCOPE}/Conv_1", hyperparams),
            padding=padding,
        )
    return layers


class _Block:
    """An inverted residual under `scope`."""

    def __init__(
        self, builder: GraphBuilder, scope: str, hyperparams: Hyperparams, *, explicit: bool
    ) -> None:
        self._builder = builder
        self._scope = scope
        self._hyperparams = hyperparams
        self._explicit = explicit

    def build(self, net: Tensor, inner: int, depth: int, stride: int) -> tuple[Tensor, Tensor]:
        """Expand, filter depthwise, project; add the input where stride and depth allow it.

        Returns:
            The block's output and its expansion.
        """
        builder, scope, hyperparams = self._builder, self._scope, self._hyperparams
        block_input = identity(builder, net, f"{scope}/input")
        net = block_input
        padding = padding_of(explicit=self._explicit)
        if inner > net.depth:
            expand = f"{scope}/expand"
            net = conv2d(builder, net, inner, 1, 1, expand, hyperparams, padding=padding)
            net = identity(builder, net, f"{scope}/expansion_output")
        expanded = net
        if self._explicit:
            net = pad(builder, net, 3, scope)
        net = depthwise_conv2d(
            builder, net, 3, stride, f"{scope}/depthwise", hyperparams, padding=padding
        )
        net = identity(builder, net, f"{scope}/depthwise_output")
        linear = without_activation(hyperparams, "IDENTITY")
        net = conv2d(builder, net, depth, 1, 1, f"{scope}/project", linear, padding=padding)
        if stride == 1 and net.depth == block_input.depth:
            net = add_residual(builder, net, block_input, f"{scope}/add")
        return identity(builder, net, f"{scope}/output"), expanded
