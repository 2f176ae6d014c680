"""MobileDet: networks found by search for four kinds of processors, of four kinds of blocks.

Sources: Xiong et al. 2020, arXiv 2004.14525;
`object_detection/models/ssd_mobiledet_feature_extractor.py`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import Activation, BatchNorm, Hyperparams
from flatshot.models.layers import LINEAR, add_residual, conv2d, pad_to_multiple, pool
from flatshot.models.scoped import Scoped

NORM = BatchNorm(epsilon=0.01, scale=True, center=True)

Kind = Literal["IBNNoExpansion", "IBN", "FusedConv", "TuckerConv"]


@dataclass(frozen=True)
class Block:
    """A block: inverted bottleneck (with or without expansion), fused, or Tucker's.

    `inner` is the expansion, or for Tucker's blocks the ratios of both ranks; `depth` is before
    the multiplier; `residual` adds what comes in.
    """

    kind: Kind
    kernel: int
    inner: tuple[float, ...]
    depth: int
    stride: int = 1
    residual: bool = False


def ibn(kernel: int, expansion: int, depth: int, stride: int = 1, *, r: bool = False) -> Block:
    """An inverted bottleneck; `r` adds what comes in."""
    return Block("IBN", kernel, (expansion,), depth, stride, r)


def fused(kernel: int, expansion: int, depth: int, stride: int = 1, *, r: bool = False) -> Block:
    """An expansion that filters; `r` adds what comes in."""
    return Block("FusedConv", kernel, (expansion,), depth, stride, r)


def tucker(before: float, after: float, depth: int, *, r: bool = False) -> Block:
    """A 3x3 between two 1x1 (Tucker's decomposition); `r` adds what comes in."""
    return Block("TuckerConv", 3, (before, after), depth, 1, r)


def plain(depth: int) -> Block:
    """An inverted bottleneck without expansion."""
    return Block("IBNNoExpansion", 3, (), depth)


@dataclass(frozen=True)
class Network:
    """One of the four.

    `stages` end at C1 to C5; with `squeeze` each bottleneck weighs channels by the whole map.
    """

    name: str
    activation: Activation
    stem: int
    stages: tuple[tuple[Block, ...], ...]
    squeeze: bool = False

    @property
    def scope(self) -> str:
        """The prefix of variables and operations."""
        return f"FeatureExtractor/{self.name}"


CPU = Network(
    "MobileDetCPU",
    "SWISH_6",
    16,
    (
        (plain(8),),
        (ibn(3, 4, 16, 2),),
        (ibn(3, 8, 32, 2), *(ibn(3, 4, 32, r=True),) * 3),
        (
            ibn(5, 8, 72, 2),
            ibn(3, 8, 72, r=True),
            ibn(5, 4, 72, r=True),
            ibn(3, 4, 72, r=True),
            ibn(3, 8, 72),
            *(ibn(3, 8, 72, r=True),) * 3,
        ),
        (
            ibn(5, 8, 104, 2),
            *(ibn(5, 4, 104, r=True),) * 2,
            ibn(3, 4, 104, r=True),
            ibn(3, 8, 144),
        ),
    ),
    squeeze=True,
)
DSP = Network(
    "MobileDetDSP",
    "RELU_6",
    32,
    (
        (plain(24),),
        (
            fused(3, 4, 32, 2),
            fused(3, 4, 32, r=True),
            ibn(3, 4, 32, r=True),
            tucker(0.25, 0.75, 32, r=True),
        ),
        (fused(3, 8, 64, 2), ibn(3, 4, 64, r=True), *(fused(3, 4, 64, r=True),) * 2),
        (
            fused(3, 8, 120, 2),
            ibn(3, 4, 120, r=True),
            *(ibn(3, 8, 120, r=True),) * 2,
            fused(3, 8, 144),
            *(ibn(3, 8, 144, r=True),) * 3,
        ),
        (
            ibn(3, 4, 160, 2),
            ibn(3, 4, 160, r=True),
            fused(3, 4, 160, r=True),
            tucker(0.75, 0.75, 160, r=True),
            ibn(3, 8, 240),
        ),
    ),
)
EDGE_TPU = Network(
    "MobileDetEdgeTPU",
    "RELU_6",
    32,
    (
        (tucker(0.25, 0.75, 16),),
        (
            fused(3, 8, 16, 2),
            fused(3, 4, 16, r=True),
            fused(3, 8, 16, r=True),
            fused(3, 4, 16, r=True),
        ),
        (fused(5, 8, 40, 2), *(fused(3, 4, 40, r=True),) * 3),
        (
            ibn(3, 8, 72, 2),
            ibn(3, 8, 72, r=True),
            *(fused(3, 4, 72, r=True),) * 2,
            ibn(5, 8, 96),
            ibn(5, 8, 96, r=True),
            *(ibn(3, 8, 96, r=True),) * 2,
        ),
        (
            ibn(5, 8, 120, 2),
            ibn(3, 8, 120, r=True),
            ibn(5, 4, 120, r=True),
            ibn(3, 8, 120, r=True),
            ibn(5, 8, 384),
        ),
    ),
)
GPU = Network(
    "MobileDetGPU",
    "RELU_6",
    32,
    (
        (tucker(0.25, 0.25, 16),),
        (fused(3, 8, 32, 2), *(tucker(0.25, 0.25, 32, r=True),) * 3),
        (fused(3, 8, 64, 2), *(fused(3, 8, 64, r=True),) * 2, fused(3, 4, 64, r=True)),
        (
            fused(3, 8, 128, 2),
            *(fused(3, 4, 128, r=True),) * 3,
            fused(3, 8, 128),
            *(fused(3, 8, 128, r=True),) * 3,
        ),
        (fused(3, 4, 128, 2), *(fused(3, 4, 128, r=True),) * 3, ibn(3, 8, 384)),
    ),
)


def mobiledet(
    builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig, network: Network
) -> dict[str, Tensor]:
    """The ends of the stages, `C1` to `C5`."""
    scope = network.scope
    root = Scoped(builder, scope, scope, Hyperparams(NORM, network.activation))
    net = pad_to_multiple(builder, image, config.pad_to_multiple, scope)
    net = root.conv(net, "Conv", _scale(network.stem, config.depth_multiplier), 3, 2)
    made: Counter[Kind] = Counter()
    ends = {}
    for number, stage in enumerate(network.stages, start=1):
        for block in stage:
            suffix = f"_{made[block.kind]}" if made[block.kind] else ""
            made[block.kind] += 1
            one = _Maker(root.inner(f"{block.kind}{suffix}"), block, squeeze=network.squeeze)
            net = one.make(net, _scale(block.depth, config.depth_multiplier))
        ends[f"C{number}"] = net
    return ends


def _scale(depth: float, multiplier: float) -> int:
    """Channels times `multiplier`, to a multiple of 8; the smallest is 8."""
    return max(int(int(depth * multiplier / 8 + 0.5) * 8), 8)


class _Maker:
    """Makes one block in `scope`."""

    def __init__(self, scope: Scoped, block: Block, *, squeeze: bool) -> None:
        self._scope = scope
        self._linear = scope.following("IDENTITY")
        self._block = block
        self._squeeze = squeeze

    def make(self, net: Tensor, depth: int) -> Tensor:
        """The block of `net`, with `depth` channels."""
        made = {
            "IBNNoExpansion": self._without_expansion,
            "IBN": self._bottleneck,
            "FusedConv": self._fused,
            "TuckerConv": self._tucker,
        }[self._block.kind](net, depth)
        if self._block.residual:
            made = add_residual(self._scope.builder, made, net, f"{self._scope.operations}/add")
        return made

    def _without_expansion(self, net: Tensor, depth: int) -> Tensor:
        return self._linear.conv(self._filter(net), "Conv", depth)

    def _bottleneck(self, net: Tensor, depth: int) -> Tensor:
        net = self._scope.conv(net, "Conv", int(net.depth * self._block.inner[0]))
        return self._linear.conv(self._filter(net), "Conv_1", depth)

    def _fused(self, net: Tensor, depth: int) -> Tensor:
        block = self._block
        inner = int(net.depth * block.inner[0])
        net = self._scope.conv(net, "Conv", inner, block.kernel, block.stride)
        return self._linear.conv(net, "Conv_1", depth)

    def _tucker(self, net: Tensor, depth: int) -> Tensor:
        block = self._block
        before, after = block.inner
        rank = _scale(net.depth, before)
        inner = self._scope.conv(net, "Conv", rank)
        inner = self._scope.conv(inner, "Conv_1", _scale(depth, after), block.kernel, block.stride)
        return self._linear.conv(inner, "Conv_2", depth)

    def _filter(self, net: Tensor) -> Tensor:
        """The depthwise convolution, and the weighing of its channels."""
        block = self._block
        net = self._scope.depthwise(net, "SeparableConv2d", block.kernel, block.stride)
        return self._squeeze_excite(net) if self._squeeze else net

    def _squeeze_excite(self, net: Tensor) -> Tensor:
        scope, builder = f"{self._scope.operations}/SqueezeExcite", self._scope.builder
        _, height, width, depth = net.shape
        name = f"{scope}/AvgPool2D/AvgPool"
        mean = pool(builder, net, "AvgPool", (height, width), 1, name, "VALID")
        squeezed = Hyperparams(None, self._scope.hyperparams.activation)
        gate = conv2d(builder, mean, _scale(depth, 0.25), 1, 1, f"{scope}/Conv", squeezed)
        gate = conv2d(builder, gate, depth, 1, 1, f"{scope}/Conv_1", LINEAR)
        gate = builder.add("Sigmoid", f"{scope}/Conv_1/Sigmoid", [gate], gate.shape)
        return builder.add("Mul", f"{scope}/mul", [gate, net], net.shape)
