"""A feature pyramid: coarse maps are upsampled and added to finer ones.

Sources: Lin et al. 2017, arXiv 1612.03144; `object_detection/models/feature_map_generators.py`,
`fpn_top_down_feature_maps` and `KerasFpnTopDownFeatureMaps`; for the coarse levels the extractors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.errors import ConfigError
from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig, FpnConfig
from flatshot.models.config.problems import Problems
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import LINEAR, add_residual, conv2d, pad, padding_of, separable_conv2d
from flatshot.models.necks.upsampling import How, double

# Beyond the level of stride 32 backbones have no layers: maps are made of the coarsest.
TOP_LEVEL = 5


@dataclass(frozen=True)
class Pyramid:
    """Where a pyramid stands, and how its parts are named.

    Attributes:
        scope: the prefix of its operations and variables.
        coarse_name: the layer that makes the first map beyond the backbone; a number follows.
        coarse_number: that number.
        keras: whether it is TensorFlow 2's, which lets filtered maps go further down, where
            TensorFlow 1 filters them aside.
    """

    scope: str
    coarse_name: str
    coarse_number: int
    keras: bool = False


def used_taps(taps: Sequence[Tensor], fpn: FpnConfig) -> list[Tensor]:
    """Of the taps at the levels 2 to 5, those at the levels of the pyramid."""
    return list(taps[fpn.min_level - 2 : min(fpn.max_level, TOP_LEVEL) - 1])


def check_levels(
    config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems
) -> None:
    """Note levels that there cannot be."""
    fpn = config.fpn
    problems.require(
        2 <= fpn.min_level <= TOP_LEVEL,
        f"feature_extractor.fpn.min_level: {fpn.min_level}; the network has layers of the levels "
        f"2 to {TOP_LEVEL}",
    )
    # With explicit padding the larger map is cut to the smaller.
    if not config.use_explicit_padding:
        levels = (fpn.min_level, min(fpn.max_level, TOP_LEVEL))
        check_halving(config, image_size, levels, problems)


def check_halving(
    config: FeatureExtractorConfig,
    image_size: tuple[int, int],
    levels: tuple[int, int],
    problems: Problems,
) -> None:
    """Note an image whose maps at `levels`, the finest and the coarsest, are not halves."""
    finest, coarsest = levels
    for side in image_size:
        sizes = [-(-side // config.pad_to_multiple) * config.pad_to_multiple]
        for _ in range(coarsest):
            sizes.append(-(-sizes[-1] // 2))
        doubles = all(sizes[level] == 2 * sizes[level + 1] for level in range(finest, coarsest))
        if not problems.require(
            doubles,
            f"fixed_shape_resizer: with {side} pixels the levels of the feature pyramid are not "
            f"each half of the one before: let {2**coarsest} divide it (pad_to_multiple pads the "
            "image so)",
        ):
            return


def fpn_maps(
    builder: GraphBuilder,
    taps: Sequence[Tensor],
    config: FeatureExtractorConfig,
    pyramid: Pyramid,
    *,
    depthwise: bool,
) -> list[Tensor]:
    """The maps of the levels `min_level` to `max_level`, finest first.

    Args:
        builder: the graph to add to.
        taps: layers of the backbone at the levels from `min_level` on, finest first.
        config: the extractor's section.
        pyramid: names.
        depthwise: whether 3x3 convolutions are separable.
    """
    return _Fpn(builder, config, pyramid, depthwise=depthwise).build(taps)


class _Fpn:
    def __init__(
        self,
        builder: GraphBuilder,
        config: FeatureExtractorConfig,
        pyramid: Pyramid,
        *,
        depthwise: bool,
    ) -> None:
        self._builder = builder
        self._config = config
        self._pyramid = pyramid
        self._depthwise = depthwise
        self._depth = scaled_depth(config)(config.fpn.depth)
        self._top_down = f"{pyramid.scope}/top_down"

    def build(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """The maps, finest first."""
        net = self._project(taps[-1], len(taps))
        maps = [net]
        for number in range(len(taps) - 1, 0, -1):
            net = self._merge(net, taps[number - 1], number)
            filtered = self._filter(net, f"smoothing_{number}", 1, self._top_down)
            maps.insert(0, filtered)
            if self._pyramid.keras:
                net = filtered
        pyramid = self._pyramid
        for step in range(self._config.fpn.max_level - self._config.fpn.min_level + 1 - len(taps)):
            layer = f"{pyramid.coarse_name}{pyramid.coarse_number + step}"
            maps.append(self._filter(maps[-1], layer, 2, pyramid.scope))
        return maps

    def _project(self, tap: Tensor, number: int) -> Tensor:
        """A tap in the pyramid's depth, with neither norm nor activation."""
        name = f"projection_{number}"
        return conv2d(
            *(self._builder, tap, self._depth, 1, 1, f"{self._top_down}/{name}", LINEAR),
            variable_scope=f"{self._pyramid.scope}/{name}",
            padding=padding_of(explicit=self._config.use_explicit_padding),
        )

    def _merge(self, coarse: Tensor, tap: Tensor, number: int) -> Tensor:
        upsampled = double(self._builder, coarse, self._top_down, self._upsampling())
        lateral = self._project(tap, number)
        if self._config.use_explicit_padding:
            upsampled = self._crop(upsampled, lateral)
        if upsampled.shape != lateral.shape:
            raise ConfigError(
                f"the feature pyramid adds maps of {list(upsampled.shape[1:3])} and "
                f"{list(lateral.shape[1:3])}: choose a fixed_shape_resizer that "
                f"{2**TOP_LEVEL} divides"
            )
        name = self._builder.unique(f"{self._top_down}/add")
        return add_residual(self._builder, upsampled, lateral, name)

    def _upsampling(self) -> How:
        if self._config.fpn.native_resize:
            return "native"
        if self._pyramid.keras:
            return "stack and reshape"
        return "resize" if "fpn" in self._config.given else "stack"

    def _filter(self, net: Tensor, layer: str, stride: int, scope: str) -> Tensor:
        """A 3x3 convolution with the configuration's hyperparameters."""
        convolve = separable_conv2d if self._depthwise else conv2d
        explicit = self._config.use_explicit_padding
        if explicit:
            net = pad(self._builder, net, 3, scope)
        return convolve(
            *(self._builder, net, self._depth, 3, stride, f"{scope}/{layer}"),
            self._config.hyperparams,
            variable_scope=f"{self._pyramid.scope}/{layer}",
            padding=padding_of(explicit=explicit),
        )

    def _crop(self, net: Tensor, like: Tensor) -> Tensor:
        """`net` cut to height and width of `like`, which the graph slices out of a constant."""
        builder, scope = self._builder, self._top_down
        sizes = builder.constant(builder.unique(f"{scope}/Shape"), np.array(like.shape, np.int32))
        height = self._element(sizes, 1)
        width = self._element(sizes, 2)
        name = builder.unique(f"{scope}/strided_slice")
        begin = builder.constant(f"{name}/stack", np.zeros(4, np.int32))
        ends = [
            builder.constant(f"{name}/stack_1/0", np.array(0, np.int32)),
            height,
            width,
            builder.constant(f"{name}/stack_1/3", np.array(0, np.int32)),
        ]
        integers: dict[str, Attr] = {"T": DataType.DT_INT32, "N": 4, "axis": 0}
        end = builder.add("Pack", f"{name}/stack_1", ends, (4,), integers)
        steps = builder.constant(f"{name}/stack_2", np.ones(4, np.int32))
        shape = (1, *like.shape[1:3], net.depth)
        masks = _masks(begin=0b1111, end=0b1001)
        return builder.add("StridedSlice", name, [net, begin, end, steps], shape, masks)

    def _element(self, sizes: Tensor, position: int) -> Tensor:
        """The number at `position` of `sizes`."""
        builder = self._builder
        name = builder.unique(f"{self._top_down}/strided_slice")
        bounds = [
            builder.constant(f"{name}/{part}", np.array([value], np.int32))
            for part, value in (("stack", position), ("stack_1", position + 1), ("stack_2", 1))
        ]
        attrs = _masks(shrink=1) | {"T": DataType.DT_INT32}
        return builder.add("StridedSlice", name, [sizes, *bounds], (), attrs)


def _masks(*, begin: int = 0, end: int = 0, shrink: int = 0) -> dict[str, Attr]:
    return {
        "Index": DataType.DT_INT32,
        "begin_mask": begin,
        "ellipsis_mask": 0,
        "end_mask": end,
        "new_axis_mask": 0,
        "shrink_axis_mask": shrink,
    }
