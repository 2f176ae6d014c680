"""Inception V2: four branches side by side, the first convolution separable.

Sources: Ioffe & Szegedy 2015, arXiv 1502.03167, figure 5; `slim/nets/inception_v2.py`.
"""

from typing import Literal

from flatshot.models.backbones.inception import Branch, Conv, Pool, mixed
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import pad_to_multiple
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor/InceptionV2"
STEM_DEPTH = 64
# Filters for each channel of the image in the first convolution, at most.
STEM_MULTIPLIER = 8

# By block: channels of branch 0, of branches 1 and 2 step by step, and behind the pooling.
MIXED: dict[str, tuple[int, tuple[int, int], tuple[int, int, int], int]] = {
    "3b": (64, (64, 64), (64, 96, 96), 32),
    "3c": (64, (64, 96), (64, 96, 96), 64),
    "4b": (224, (64, 96), (96, 128, 128), 128),
    "4c": (192, (96, 128), (96, 128, 128), 128),
    "4d": (160, (128, 160), (128, 160, 160), 96),
    "4e": (96, (128, 192), (160, 192, 192), 96),
    "5b": (352, (192, 320), (160, 224, 224), 128),
    "5c": (352, (192, 320), (192, 224, 224), 128),
}
# Blocks of half the size: the steps of branches 0 and 1.
REDUCTIONS: dict[str, tuple[tuple[int, int], tuple[int, int, int]]] = {
    "4a": ((128, 160), (64, 96, 96)),
    "5a": ((128, 192), (192, 256, 256)),
}
ORDER = ("3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b", "5c")


def inception_v2(
    builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
) -> dict[str, Tensor]:
    """The layers `Mixed_3b` to `Mixed_5c` of `image` (1, height, width, channels)."""
    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    root = Scoped(builder, SCOPE, f"{SCOPE}/InceptionV2", config.hyperparams)
    scale = scaled_depth(config)
    multiplier = min(int(scale(STEM_DEPTH) / 3), STEM_MULTIPLIER)
    net = root.separable(net, "Conv2d_1a_7x7", scale(64), 7, 2, multiplier)
    net = root.pool(net, "MaxPool", "MaxPool_2a_3x3/MaxPool", 3, 2)
    net = root.conv(net, "Conv2d_2b_1x1", scale(64))
    net = root.conv(net, "Conv2d_2c_3x3", scale(192), 3)
    net = root.pool(net, "MaxPool", "MaxPool_3a_3x3/MaxPool", 3, 2)
    layers = {}
    for name in ORDER:
        block = root.inner(f"Mixed_{name}")
        parts = _reduction(name) if name in REDUCTIONS else _mixed(name)
        net = mixed(block, net, parts, scale)
        layers[f"Mixed_{name}"] = net
    return layers


def _mixed(name: str) -> list[Branch]:
    first, (narrow, wide), (squeeze, middle, last), pooled = MIXED[name]
    op: Literal["MaxPool", "AvgPool"] = "MaxPool" if name == "5c" else "AvgPool"
    return [
        [Conv("Conv2d_0a_1x1", first)],
        [Conv("Conv2d_0a_1x1", narrow), Conv("Conv2d_0b_3x3", wide, 3)],
        [
            Conv("Conv2d_0a_1x1", squeeze),
            Conv("Conv2d_0b_3x3", middle, 3),
            Conv("Conv2d_0c_3x3", last, 3),
        ],
        [Pool(f"{op}_0a_3x3", op), Conv("Conv2d_0b_1x1", pooled)],
    ]


def _reduction(name: str) -> list[Branch]:
    (squeeze, strided), (narrow, wide, last) = REDUCTIONS[name]
    return [
        [Conv("Conv2d_0a_1x1", squeeze), Conv("Conv2d_1a_3x3", strided, 3, 2)],
        [
            Conv("Conv2d_0a_1x1", narrow),
            Conv("Conv2d_0b_3x3", wide, 3),
            Conv("Conv2d_1a_3x3", last, 3, 2),
        ],
        [Pool("MaxPool_1a_3x3", "MaxPool", 2)],
    ]
