"""A pyramid that goes down and up again, several times: maps are weighed before they are added.

Sources: Tan et al. 2019, arXiv 1911.09070;
`object_detection/models/bidirectional_feature_pyramid_generators.py`, `utils/bifpn_utils.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.formats.graphdef import Array
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import BifpnConfig
from flatshot.models.config.hyperparams import Hyperparams
from flatshot.models.layers import add_residual, without_activation
from flatshot.models.necks.upsampling import double
from flatshot.models.scoped import Scoped

SCOPE = "BiFPN"
# What the sum of the weights of fast attention is raised by.
_EPSILON = np.float32(0.0001)


@dataclass(frozen=True)
class _Node:
    """A map of the pyramid: its name, its level, and the names of the maps it is made of."""

    name: str
    level: int
    inputs: tuple[str, ...]


def bifpn_maps(
    builder: GraphBuilder, taps: Sequence[Tensor], bifpn: BifpnConfig, hyperparams: Hyperparams
) -> list[Tensor]:
    """The maps of the levels `min_level` to `max_level`, finest first.

    Args:
        builder: the graph to add to.
        taps: layers of the backbone at the levels from `min_level` on, finest first.
        bifpn: levels, depth, number of iterations.
        hyperparams: what follows convolutions.
    """
    levels = range(bifpn.min_level, bifpn.max_level + 1)
    maps = {_up(0, level): (tap, level) for level, tap in zip(levels, taps, strict=False)}
    pyramid = _Pyramid(Scoped(builder, SCOPE, SCOPE, hyperparams), bifpn)
    for number, node in enumerate(_nodes(bifpn, bifpn.min_level + len(taps))):
        inputs = [(name, *maps[name]) for name in node.inputs]
        maps[node.name] = (
            pyramid.node(f"node_{number:02}/{node.name}", node.level, inputs),
            node.level,
        )
    last = bifpn.iterations
    names = [_down(last, levels[0]), *(_up(last, level) for level in levels[1:])]
    return [maps[name][0] for name in names]


def _down(iteration: int, level: int) -> str:
    return f"{iteration}_dn_lvl_{level}"


def _up(iteration: int, level: int) -> str:
    return f"{iteration}_up_lvl_{level}"


def _nodes(bifpn: BifpnConfig, first_missing: int) -> Iterator[_Node]:
    """The maps in the order in which they are made; from `first_missing` on there are no taps."""
    low, high = bifpn.min_level, bifpn.max_level
    for level in range(first_missing, high + 1):
        yield _Node(_up(0, level), level, (_up(0, level - 1),))
    for k in range(1, bifpn.iterations + 1):
        # The finest map is made on the way down, all others of an iteration on the way up.
        before = {level: _up(k - 1, level) for level in range(low, high + 1)}
        if k > 1:
            before[low] = _down(k - 1, low)
        above = before[high]
        for level in range(high - 1, low - 1, -1):
            yield _Node(_down(k, level), level, (before[level], above))
            above = _down(k, level)
        below = above
        for level in range(low + 1, high + 1):
            between = (_down(k, level),) if level < high else ()
            yield _Node(_up(k, level), level, (_up(k - 1, level), *between, below))
            below = _up(k, level)


class _Pyramid:
    """Makes the maps."""

    def __init__(self, root: Scoped, bifpn: BifpnConfig) -> None:
        self._root = root
        self._bifpn = bifpn

    def node(self, name: str, level: int, inputs: Sequence[tuple[str, Tensor, int]]) -> Tensor:
        """The map `name` of `level`, of maps with their names and levels."""
        scope = self._root.inner(name)
        maps = [self._resample(scope.inner(f"input_{n}"), m, at, level) for n, m, at in inputs]
        if len(maps) == 1:
            return maps[0]
        combined = self._combine(scope.inner("combine"), maps)
        return self._filter(scope, combined)

    def _resample(self, scope: Scoped, net: Tensor, at: int, level: int) -> Tensor:
        """A map in the depth of the pyramid and in the size of `level`, one away at most."""
        if net.depth != self._bifpn.depth:
            net = scope.following("NONE").conv(net, "1x1_pre_sample", self._bifpn.depth)
        if at < level:
            return scope.pool(net, "MaxPool", "downsample_max_x2", 3, 2, padding="SAME")
        if at > level:
            return double(scope.builder, net, scope.operations, "resize")
        return net

    def _combine(self, scope: Scoped, maps: Sequence[Tensor]) -> Tensor:
        """The sum of maps, each times its weight."""
        builder, operations = scope.builder, scope.operations
        weights = self._weights(scope, len(maps))
        total: Tensor | None = None
        for number, net in enumerate(maps):
            if weights is not None:
                factor = np.asarray(weights[number])
                weight = builder.constant(f"{operations}/mul_{number}/y", factor)
                net = builder.add("Mul", f"{operations}/mul_{number}", [net, weight], net.shape)
            name = f"{operations}/add_{number}"
            total = net if total is None else add_residual(builder, total, net, name)
        assert total is not None
        return total

    def _weights(self, scope: Scoped, count: int) -> Array | None:
        """The weights of `count` maps; None where each is 1.

        Upstream adds them up as a product of matrices. Its softmax ("attention") runs along the
        other axis, which has one element: what it makes of each weight is 1.
        """
        method = self._bifpn.combine
        if method in ("sum", "attention"):
            return None
        name = f"{scope.variables}/bifpn_combine_weights"
        weights = scope.builder.value(name, (count, 1))[:, 0]
        if method == "weighted_sum":
            return weights
        positive = np.maximum(weights, np.float32(0))
        fractions: Array = positive / (positive.sum(dtype=np.float32) + _EPSILON)
        return fractions

    def _filter(self, scope: Scoped, net: Tensor) -> Tensor:
        """Activation, then a separable 3x3 convolution with what follows it."""
        post = scope.inner("post_combine")
        net = post.activate(net)
        linear = without_activation(post.hyperparams)
        inner = Scoped(scope.builder, scope.variables, scope.operations, linear)
        return inner.separable(net, "post_combine", self._bifpn.depth)
