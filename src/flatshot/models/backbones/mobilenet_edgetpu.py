"""The MobileNet for the Edge TPU: fused expansions where maps are large, no squeezing.

Source: `slim/nets/mobilenet/mobilenet_v3.py` (`V3_EDGETPU`).
"""

from flatshot.models.backbones.inverted_residual import Block, block_name, inverted_residual
from flatshot.models.backbones.mobilenet_v2 import base_hyperparams
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import divisible_depth
from flatshot.models.layers import identity, pad_to_multiple
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor/MobilenetEdgeTPU"
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "RELU")


def _fused(expansion: float, depth: int, stride: int = 1) -> Block:
    return Block(expansion, depth, stride, 3, "RELU", fused=True)


def _plain(kernel: int, expansion: float, depth: int, stride: int = 1) -> Block:
    return Block(expansion, depth, stride, kernel, "RELU")


BLOCKS = (
    _fused(1, 16),
    _fused(8, 32, 2),
    *(_fused(4, 32),) * 3,
    _fused(8, 48, 2),
    *(_fused(4, 48),) * 3,
    _plain(3, 8, 96, 2),
    *(_plain(3, 4, 96),) * 3,
    Block(8, 96, 1, 3, "RELU", residual=False),
    *(_plain(3, 4, 96),) * 3,
    _plain(5, 8, 160, 2),
    *(_plain(5, 4, 160),) * 3,
    _plain(3, 8, 192),
)


def mobilenet_edgetpu(
    builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
) -> dict[str, Tensor]:
    """The layers `layer_1` to `layer_23`, and `layer_N/expansion_output` of blocks."""
    scale = divisible_depth(config)
    root = Scoped(builder, SCOPE, SCOPE, base_hyperparams(config, BASE))
    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    net = identity(builder, net, f"{SCOPE}/MobilenetEdgeTPU/input")
    net = root.conv(net, "Conv", scale(32), 3, 2)
    layers = {"layer_1": net}
    for number, block in enumerate(BLOCKS):
        scope = root.inner(block_name(number))
        net, expanded = inverted_residual(scope, net, block, scale(block.depth))
        layers[f"layer_{number + 2}/expansion_output"] = expanded
        layers[f"layer_{number + 2}"] = net
    return layers
