"""MobileNet V2: inverted residuals with linear bottlenecks.

TensorFlow 1 has it in Slim and TensorFlow 2 in Keras, which count channels in ways of their own.
Sources: Sandler et al. 2018, arXiv 1801.04381, table 2; `slim/nets/mobilenet/{mobilenet_v2,
mobilenet,conv_blocks}.py`; `keras/applications/mobilenet_v2.py` under
`object_detection/models/keras_models/mobilenet_v2.py`.
"""

from dataclasses import dataclass, replace

from flatshot.models.backbones.inverted_residual import Block, block_name, inverted_residual
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import divisible_depth, make_divisible
from flatshot.models.layers import identity, pad, pad_to_multiple, padding_of
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor/MobilenetV2"
# The 17 blocks; the first one's expansion of 1 need not be a multiple of 8.
BLOCKS = (
    Block(1, 16, divisor=1),
    Block(6, 24, 2),
    Block(6, 24),
    Block(6, 32, 2),
    *(Block(6, 32),) * 2,
    Block(6, 64, 2),
    *(Block(6, 64),) * 3,
    *(Block(6, 96),) * 3,
    Block(6, 160, 2),
    *(Block(6, 160),) * 2,
    Block(6, 320),
)
LAST_DEPTH = 1280
# Of `V2_DEF` and `training_scope`. The former stands inside the config's own hyperparameters and
# sets activation, normaliser, `center` and `scale`: of the config's only epsilon has a say.
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "RELU_6")


@dataclass(frozen=True)
class Widths:
    """The channels of the first layer, those that go out of each block, those of the last layer.

    `pads_last` says whether explicit padding pads the last layer too, whose kernel needs none.
    """

    first: int
    blocks: tuple[tuple[Block, int], ...]
    last: int
    pads_last: bool = True


def slim_widths(config: FeatureExtractorConfig, last_depth: int = LAST_DEPTH) -> Widths:
    """The numbers of channels in TensorFlow 1."""
    scale = divisible_depth(config)
    blocks = tuple((block, scale(block.depth)) for block in BLOCKS)
    return Widths(scale(32), blocks, scale(last_depth))


def keras_widths(config: FeatureExtractorConfig) -> Widths:
    """The numbers of channels in TensorFlow 2.

    Keras decides by its own numbers whether a block adds its input; what wraps it then raises
    channels to `min_depth`, except those inside a block, and that may part what was equal.
    """
    multiplier, least = config.depth_multiplier, config.min_depth
    first = came_in = max(make_divisible(32 * multiplier, 8), least)
    blocks = []
    for block in BLOCKS:
        depth = make_divisible(int(block.depth * multiplier), 8)
        blocks.append((replace(block, divisor=1, residual=depth == came_in), max(depth, least)))
        came_in = max(depth, least)
    return Widths(
        first, tuple(blocks), max(make_divisible(LAST_DEPTH * multiplier, 8), least), False
    )


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
    widths: Widths | None = None,
    hyperparams: Hyperparams | None = None,
) -> dict[str, Tensor]:
    """The layers of `image`: `layer_1` to `layer_19`, and `layer_N/expansion_output` of blocks.

    Args:
        builder: the graph to add to.
        image: (1, height, width, channels).
        config: the extractor's section.
        last_depth: channels of the last layer, before the multiplier; None leaves it out.
        widths: all numbers of channels, scaled; if not given, TensorFlow 1's.
        hyperparams: what follows convolutions; if not given, as the configuration says.
    """
    explicit = config.use_explicit_padding
    widths = widths or slim_widths(config, last_depth or LAST_DEPTH)
    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    net = identity(builder, net, f"{SCOPE}/MobilenetV2/input")
    padding = padding_of(explicit=explicit)
    root = Scoped(builder, SCOPE, SCOPE, hyperparams or base_hyperparams(config), padding)
    if explicit:
        net = pad(builder, net, 3, SCOPE)
    net = root.conv(net, "Conv", widths.first, 3, 2)
    layers = {"layer_1": net}
    for number, (block, depth) in enumerate(widths.blocks):
        scope = root.inner(block_name(number))
        net, expanded = inverted_residual(scope, net, block, depth, explicit=explicit)
        layers[f"layer_{number + 2}/expansion_output"] = expanded
        layers[f"layer_{number + 2}"] = net
    if last_depth is not None:
        if explicit and widths.pads_last:
            net = pad(builder, net, 1, SCOPE)
        layers["layer_19"] = root.conv(net, "Conv_1", widths.last)
    return layers
