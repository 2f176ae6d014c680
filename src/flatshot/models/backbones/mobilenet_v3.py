"""MobileNet V3, large and small, with the narrow last layers that detectors have.

Sources: Howard et al. 2019, arXiv 1905.02244, tables 1 and 2 and section 6.3;
`slim/nets/mobilenet/mobilenet_v3.py`. Its tables give channels inside a block; here they are
expansions, of what comes in.
"""

from collections.abc import Sequence

from flatshot.models.backbones.inverted_residual import Block, block_name, inverted_residual
from flatshot.models.backbones.mobilenet_v2 import base_hyperparams
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import divisible_depth
from flatshot.models.layers import identity, pad, pad_to_multiple, padding_of
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor/MobilenetV3"
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "HARD_SWISH")

LARGE = (
    Block(1, 16, 1, 3, "RELU"),
    Block(4, 24, 2, 3, "RELU"),
    Block(3, 24, 1, 3, "RELU"),
    Block(3, 40, 2, 5, "RELU", squeeze=True),
    *(Block(3, 40, 1, 5, "RELU", squeeze=True),) * 2,
    Block(6, 80, 2, 3, "HARD_SWISH"),
    Block(2.5, 80, 1, 3, "HARD_SWISH"),
    *(Block(2.3, 80, 1, 3, "HARD_SWISH"),) * 2,
    *(Block(6, 112, 1, 3, "HARD_SWISH", squeeze=True),) * 2,
    Block(6, 80, 2, 5, "HARD_SWISH", squeeze=True),
    *(Block(6, 80, 1, 5, "HARD_SWISH", squeeze=True),) * 2,
)
LARGE_LAST_DEPTH = 480
SMALL = (
    Block(1, 16, 2, 3, "RELU", squeeze=True),
    Block(4.5, 24, 2, 3, "RELU"),
    Block(88 / 24, 24, 1, 3, "RELU"),
    Block(4, 40, 2, 5, "HARD_SWISH", squeeze=True),
    *(Block(6, 40, 1, 5, "HARD_SWISH", squeeze=True),) * 2,
    *(Block(3, 48, 1, 5, "HARD_SWISH", squeeze=True),) * 2,
    Block(6, 48, 2, 5, "HARD_SWISH", squeeze=True),
    *(Block(6, 48, 1, 5, "HARD_SWISH", squeeze=True),) * 2,
)
SMALL_LAST_DEPTH = 288


def mobilenet_v3(
    builder: GraphBuilder,
    image: Tensor,
    config: FeatureExtractorConfig,
    blocks: Sequence[Block],
    last_depth: int,
) -> dict[str, Tensor]:
    """The layers `layer_1` and on, and `layer_N/expansion_output` of blocks.

    With `use_explicit_padding` upstream pads before each block and lets the block pad once more:
    maps grow by what was meant to stand in for the padding. Models are trained so.
    """
    explicit = config.use_explicit_padding
    scale = divisible_depth(config)
    padding = padding_of(explicit=explicit)
    root = Scoped(builder, SCOPE, SCOPE, base_hyperparams(config, BASE), padding)

    def padded(net: Tensor, kernel: int) -> Tensor:
        return pad(builder, net, kernel, SCOPE) if explicit else net

    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    net = padded(identity(builder, net, f"{SCOPE}/MobilenetV3/input"), 3)
    net = root.conv(net, "Conv", scale(16), 3, 2)
    layers = {"layer_1": net}
    for number, block in enumerate(blocks):
        net = padded(net, block.kernel)
        scope = root.inner(block_name(number))
        net, expanded = inverted_residual(scope, net, block, scale(block.depth))
        layers[f"layer_{number + 2}/expansion_output"] = expanded
        layers[f"layer_{number + 2}"] = net
    net = padded(net, 1)
    last = f"layer_{len(blocks) + 2}"
    layers[last] = root.conv(
        net, "Conv_1", scale(last_depth), 1, 1, "VALID" if explicit else "SAME"
    )
    return layers
