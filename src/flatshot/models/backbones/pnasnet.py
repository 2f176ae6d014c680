"""PNASNet-5 large: one cell, found by search, fifteen times.

Sources: Liu et al. 2017, arXiv 1712.00559, figure 1; `slim/nets/nasnet/{pnasnet,nasnet_utils}.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm
from flatshot.models.layers import BARE, add_residual, batch_norm, pad_to_multiple
from flatshot.models.scoped import Scoped

SCOPE = "FeatureExtractor"
STEM_DEPTH = 96
NORM = BatchNorm(epsilon=0.001, scale=True, center=True)
# Name, filters and stride of each cell.
CELLS = (
    ("cell_stem_0", 54, 2),
    ("cell_stem_1", 108, 2),
    *((f"cell_{number}", 216, 1) for number in range(4)),
    ("cell_4", 432, 2),
    *((f"cell_{number}", 432, 1) for number in range(5, 8)),
    ("cell_8", 864, 2),
    *((f"cell_{number}", 864, 1) for number in range(9, 12)),
)
# Of the five pairs that a cell adds: operation and state, left and right. State 0 is the cell's
# input, state 1 the one before it, 4 the sum of the third pair.
PAIRS = (
    (("separable_5x5", 1), ("max", 1)),
    (("separable_7x7", 0), ("max", 0)),
    (("separable_5x5", 0), ("separable_3x3", 0)),
    (("separable_3x3", 4), ("max", 0)),
    (("separable_3x3", 1), ("none", 0)),
)


def pnasnet(
    builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
) -> dict[str, Tensor]:
    """The cells `cell_stem_0` to `cell_11`; channels do not depend on the multiplier.

    Convolutions are bare; with `override_base_feature_extractor_hyperparams` the configuration's
    norm and activation follow them, and the network's own norms come after all the same.
    """
    hyperparams = config.hyperparams if config.override_base_hyperparams else BARE
    root = Scoped(builder, SCOPE, SCOPE, hyperparams)
    net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
    net = root.conv(net, "conv0", STEM_DEPTH, 3, 2, "VALID")
    net = _norm(root, net, "conv0_bn")
    before: Tensor | None = None
    cells = {}
    for name, filters, stride in CELLS:
        made = _Cell(root.inner(name), filters, stride).make(net, before)
        before, net = net, made
        cells[name] = made
    return cells


def _norm(scope: Scoped, net: Tensor, name: str) -> Tensor:
    return batch_norm(
        scope.builder, net, f"{scope.operations}/{name}", f"{scope.variables}/{name}", NORM
    )


def _relu(scope: Scoped, net: Tensor) -> Tensor:
    name = scope.builder.unique(f"{scope.operations}/Relu")
    return scope.builder.add("Relu", name, [net], net.shape)


@dataclass(frozen=True)
class _Cell:
    """One cell under `scope`."""

    scope: Scoped
    filters: int
    stride: int

    def make(self, net: Tensor, before: Tensor | None) -> Tensor:
        """The cell of `net` and of what came one cell earlier."""
        states = {1: net if before is None else self._fit(before, net)}
        squeezed = self.scope.conv(_relu(self.scope, net), "1x1", self.filters)
        states[0] = _norm(self.scope, squeezed, "beginning_bn")
        for number, pair in enumerate(PAIRS):
            inner = self.scope.inner(f"comb_iter_{number}")
            left, right = (
                self._operate(inner.inner(side), operation, states[state], state)
                for side, (operation, state) in zip(("left", "right"), pair, strict=True)
            )
            name = f"{inner.operations}/combine/add"
            states[number + 2] = add_residual(self.scope.builder, left, right, name)
        parts = [states[number + 2] for number in range(len(PAIRS))]
        return _concat(self.scope, parts, "cell_output/concat")

    def _fit(self, before: Tensor, net: Tensor) -> Tensor:
        """What came earlier, in size and channels of what the cell works with."""
        scope = self.scope
        if before.shape[1:3] != net.shape[1:3]:
            return self._halve(_relu(scope, before))
        if before.depth != self.filters:
            squeezed = scope.conv(_relu(scope, before), "prev_1x1", self.filters)
            return _norm(scope, squeezed, "prev_bn")
        return before

    def _halve(self, net: Tensor) -> Tensor:
        """Half the size from two samplings, one moved by a pixel."""
        scope, half = self.scope, self.filters // 2
        first = scope.pool(net, "AvgPool", "AvgPool", 1, 2, "VALID")
        first = scope.conv(first, "path1_conv", half)
        second = scope.pool(self._moved(net), "AvgPool", "AvgPool_1", 1, 2, "VALID")
        second = scope.conv(second, "path2_conv", half)
        return _norm(scope, _concat(scope, [first, second], "concat"), "final_path_bn")

    def _moved(self, net: Tensor) -> Tensor:
        """`net` without its first row and column, with zeros for a last."""
        builder, prefix = self.scope.builder, self.scope.operations
        amounts = np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.int32)
        paddings = builder.constant(f"{prefix}/Pad/paddings", amounts)
        shape = (1, net.shape[1] + 1, net.shape[2] + 1, net.depth)
        attrs: dict[str, Attr] = {"Tpaddings": DataType.DT_INT32}
        padded = builder.add("Pad", f"{prefix}/Pad", [net, paddings], shape, attrs)
        name = f"{prefix}/strided_slice"
        bounds = [
            builder.constant(f"{name}/{part}", np.array(values, np.int32))
            for part, values in (
                ("stack", (0, 1, 1, 0)),
                ("stack_1", (0, 0, 0, 0)),
                ("stack_2", (1, 1, 1, 1)),
            )
        ]
        masks: dict[str, Attr] = {
            "Index": DataType.DT_INT32,
            "begin_mask": 0b1001,
            "ellipsis_mask": 0,
            "end_mask": 0b1111,
            "new_axis_mask": 0,
            "shrink_axis_mask": 0,
        }
        return builder.add("StridedSlice", name, [padded, *bounds], net.shape, masks)

    def _operate(self, scope: Scoped, operation: str, net: Tensor, state: int) -> Tensor:
        """`operation` of a state; the cell's stride applies to the first two states only."""
        stride = self.stride if state < 2 else 1
        if operation == "max":
            return self._max(scope, net, stride)
        if operation == "none":
            return self._none(scope, net, stride)
        kernel = int(operation[-1])
        for number in (1, 2):
            name = f"{operation}_{number}"
            net = scope.separable(
                _relu(scope, net), name, self.filters, kernel, stride if number == 1 else 1
            )
            net = _norm(scope, net, f"bn_sep_{kernel}x{kernel}_{number}")
        return net

    def _max(self, scope: Scoped, net: Tensor, stride: int) -> Tensor:
        net = scope.pool(net, "MaxPool", "MaxPool2D/MaxPool", 3, stride)
        if net.depth == self.filters:
            return net
        return _norm(scope, scope.conv(net, "1x1", self.filters), "bn_1")

    def _none(self, scope: Scoped, net: Tensor, stride: int) -> Tensor:
        if stride == 1 and net.depth == self.filters:
            return net
        squeezed = scope.conv(_relu(scope, net), "1x1", self.filters, 1, stride)
        return _norm(scope, squeezed, "bn_1")


def _concat(scope: Scoped, parts: Sequence[Tensor], name: str) -> Tensor:
    builder, whole = scope.builder, f"{scope.operations}/{name}"
    axis = builder.constant(f"{whole}/axis", np.array(3, np.int32))
    shape = (*parts[0].shape[:3], sum(part.depth for part in parts))
    attrs: dict[str, Attr] = {"N": len(parts), "Tidx": DataType.DT_INT32}
    return builder.add("ConcatV2", whole, [*parts, axis], shape, attrs)
