"""Inception V3: large kernels as pairs of narrow ones.

Sources: Szegedy et al. 2015, arXiv 1512.00567, table 1; `slim/nets/inception_v3.py`. Some layers
are not what their names say there (`Conv2d_1a_1x1` is a 3x3): checkpoints have these names.
"""

from flatshot.models.backbones.inception import Branch, Conv, Fork, Pool, mixed
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import pad_to_multiple
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor/InceptionV3"
_TALL, _WIDE = (7, 1), (1, 7)
# Channels behind the pooling of the blocks of stride 8.
_POOLED = {"5b": 32, "5c": 64, "5d": 64}
# Channels inside the long branches of the blocks of stride 16.
_INNER = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}
ORDER = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")


def inception_v3(
    builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
) -> dict[str, Tensor]:
    """The layers `Mixed_5b` to `Mixed_7c` of `image` (1, height, width, channels)."""
    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    root = Scoped(builder, SCOPE, f"{SCOPE}/InceptionV3", config.hyperparams)
    scale = scaled_depth(config)
    net = root.conv(net, "Conv2d_1a_3x3", scale(32), 3, 2, "VALID")
    net = root.conv(net, "Conv2d_2a_3x3", scale(32), 3, 1, "VALID")
    net = root.conv(net, "Conv2d_2b_3x3", scale(64), 3)
    net = root.pool(net, "MaxPool", "MaxPool_3a_3x3/MaxPool", 3, 2, "VALID")
    net = root.conv(net, "Conv2d_3b_1x1", scale(80), 1, 1, "VALID")
    net = root.conv(net, "Conv2d_4a_3x3", scale(192), 3, 1, "VALID")
    net = root.pool(net, "MaxPool", "MaxPool_5a_3x3/MaxPool", 3, 2, "VALID")
    layers = {}
    for name in ORDER:
        net = mixed(root.inner(f"Mixed_{name}"), net, _branches(name), scale)
        layers[f"Mixed_{name}"] = net
    return layers


def _branches(name: str) -> list[Branch]:
    if name in _POOLED:
        return _stride_8(name)
    if name in _INNER:
        return _stride_16(_INNER[name])
    if name == "6a":
        return _to_stride_16()
    return _to_stride_32() if name == "7a" else _stride_32(name)


def _pooled(depth: int) -> Branch:
    return [Pool("AvgPool_0a_3x3", "AvgPool"), Conv("Conv2d_0b_1x1", depth)]


def _stride_8(name: str) -> list[Branch]:
    first, second = ("Conv2d_0a_1x1", "Conv2d_0b_5x5")
    if name == "5c":
        first, second = ("Conv2d_0b_1x1", "Conv_1_0c_5x5")
    return [
        [Conv("Conv2d_0a_1x1", 64)],
        [Conv(first, 48), Conv(second, 64, 5)],
        [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96, 3), Conv("Conv2d_0c_3x3", 96, 3)],
        _pooled(_POOLED[name]),
    ]


def _to_stride_16() -> list[Branch]:
    return [
        [Conv("Conv2d_1a_1x1", 384, 3, 2, "VALID")],
        [
            Conv("Conv2d_0a_1x1", 64),
            Conv("Conv2d_0b_3x3", 96, 3),
            Conv("Conv2d_1a_1x1", 96, 3, 2, "VALID"),
        ],
        [Pool("MaxPool_1a_3x3", "MaxPool", 2, "VALID")],
    ]


def _stride_16(inner: int) -> list[Branch]:
    return [
        [Conv("Conv2d_0a_1x1", 192)],
        [
            Conv("Conv2d_0a_1x1", inner),
            Conv("Conv2d_0b_1x7", inner, _WIDE),
            Conv("Conv2d_0c_7x1", 192, _TALL),
        ],
        [
            Conv("Conv2d_0a_1x1", inner),
            Conv("Conv2d_0b_7x1", inner, _TALL),
            Conv("Conv2d_0c_1x7", inner, _WIDE),
            Conv("Conv2d_0d_7x1", inner, _TALL),
            Conv("Conv2d_0e_1x7", 192, _WIDE),
        ],
        _pooled(192),
    ]


def _to_stride_32() -> list[Branch]:
    return [
        [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_1a_3x3", 320, 3, 2, "VALID")],
        [
            Conv("Conv2d_0a_1x1", 192),
            Conv("Conv2d_0b_1x7", 192, _WIDE),
            Conv("Conv2d_0c_7x1", 192, _TALL),
            Conv("Conv2d_1a_3x3", 192, 3, 2, "VALID"),
        ],
        [Pool("MaxPool_1a_3x3", "MaxPool", 2, "VALID")],
    ]


def _stride_32(name: str) -> list[Branch]:
    second = "Conv2d_0b_3x1" if name == "7b" else "Conv2d_0c_3x1"
    return [
        [Conv("Conv2d_0a_1x1", 320)],
        [
            Conv("Conv2d_0a_1x1", 384),
            Fork((Conv("Conv2d_0b_1x3", 384, (1, 3)), Conv(second, 384, (3, 1)))),
        ],
        [
            Conv("Conv2d_0a_1x1", 448),
            Conv("Conv2d_0b_3x3", 384, 3),
            Fork((Conv("Conv2d_0c_1x3", 384, (1, 3)), Conv("Conv2d_0d_3x1", 384, (3, 1)))),
        ],
        _pooled(192),
    ]
