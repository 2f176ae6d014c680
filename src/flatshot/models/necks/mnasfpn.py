"""MnasFPN: a feature pyramid whose connections were found by search.

Sources: Chen et al. 2019, arXiv 1912.01106, figure 5;
`object_detection/models/ssd_mobilenet_v2_mnasfpn_feature_extractor.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import divisible_depth
from flatshot.models.layers import add_residual, identity, pad, padding_of
from flatshot.models.necks.upsampling import How, double
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor/MnasFPN"
LEVELS = (3, 4, 5, 6)
# What the Object Detection API takes without a section `fpn`.
DEFAULT_DEPTH = 48
CELLS = 4
HYPERPARAMS = Hyperparams(BatchNorm(epsilon=0.01, scale=True, center=True), "NONE")


@dataclass(frozen=True)
class Block:
    """A sum of two maps: 0 to 3 are the cell's inputs, 4 and on its blocks so far."""

    inputs: tuple[int, int]
    level: int
    kernel: int
    expansion: int


BLOCKS = (
    Block((1, 2), 4, 3, 256),
    Block((0, 4), 3, 3, 128),
    Block((5, 4), 4, 3, 128),
    Block((4, 3), 5, 5, 128),
    Block((4, 3), 6, 3, 96),
)


def mnasfpn_maps(
    builder: GraphBuilder, taps: Sequence[Tensor], config: FeatureExtractorConfig
) -> list[Tensor]:
    """The maps of the levels 3 to 6, finest first.

    Args:
        builder: the graph to add to.
        taps: layers of the backbone at the levels 3, 4 and 5.
        config: the extractor's section.
    """
    return _MnasFpn(builder, config).build(taps)


class _MnasFpn:
    def __init__(self, builder: GraphBuilder, config: FeatureExtractorConfig) -> None:
        self._builder = builder
        self._explicit = config.use_explicit_padding
        given = "fpn" in config.given
        self._how: How = "resize" if given else "stack"
        if config.fpn.native_resize:
            self._how = "native"
        depth = config.fpn.depth if given else DEFAULT_DEPTH
        self._scale = divisible_depth(config)
        self._depth = self._scale(depth)
        padding = padding_of(explicit=self._explicit)
        self._root = Scoped(builder, SCOPE, SCOPE, HYPERPARAMS, padding)

    def build(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """The maps, finest first."""
        root = self._root
        coarse = root.pool(
            self._padded(taps[-1], 3, root), "MaxPool", "C6_downsample/MaxPool", 3, 2
        )
        coarse = root.following("IDENTITY").conv(coarse, "C6_Conv1x1", self._depth, padding="VALID")
        maps = [*taps, identity(self._builder, coarse, f"{SCOPE}/Identity")]
        for number in range(CELLS):
            maps = self._cell(root.inner(f"cell_{number}"), maps)
        return maps

    def _cell(self, scope: Scoped, came_in: Sequence[Tensor]) -> list[Tensor]:
        known = [*zip(came_in, LEVELS, strict=True)]
        for number, block in enumerate(BLOCKS):
            made = self._block(scope.inner(f"block_{number}"), known, block)
            known.append((made, block.level))
        made_maps = [net for net, _ in known[-len(LEVELS) :]]
        return [
            self._add(scope, made, net) if made.shape == net.shape else made
            for made, net in zip(made_maps, came_in, strict=True)
        ]

    def _add(self, scope: Scoped, left: Tensor, right: Tensor) -> Tensor:
        name = self._builder.unique(f"{scope.operations}/add")
        return add_residual(self._builder, left, right, name)

    def _block(self, scope: Scoped, known: Sequence[tuple[Tensor, int]], block: Block) -> Tensor:
        sides = [
            self._fit(scope.inner(f"input_{side}"), *known[index], block)
            for side, index in enumerate(block.inputs)
        ]
        net = self._add(scope, *sides)
        net = self._builder.add("Relu6", f"{scope.operations}/Relu6", [net], net.shape)
        net = self._padded(net, block.kernel, scope)
        return scope.separable(net, "SepConv", self._depth, block.kernel)

    def _fit(self, scope: Scoped, net: Tensor, level: int, block: Block) -> Tensor:
        """`net` in the size and the channels of `block`; the smaller work first."""
        width = self._scale(block.expansion)
        if level < block.level:
            stride = 2 ** (block.level - level)
            net = self._padded(net, 3, scope)
            net = scope.pool(net, "MaxPool", "Downsample/MaxPool", 3, stride)
            return scope.conv(net, "Conv1x1", width)
        net = scope.conv(net, "Conv1x1", width)
        for _ in range(level - block.level):
            net = double(self._builder, net, scope.operations, self._how)
        return net

    def _padded(self, net: Tensor, kernel: int, scope: Scoped) -> Tensor:
        return pad(self._builder, net, kernel, scope.operations) if self._explicit else net
