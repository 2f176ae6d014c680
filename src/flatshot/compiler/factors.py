"""A pass that moves a factor into the filter of the convolution that follows."""

import numpy as np

from flatshot.compiler.ir import Graph, Op, Value

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")


def fold_factors_forward(graph: Graph) -> int:
    """Fold a multiplication by one constant number into the only convolution that reads it.

    As TOCO does: the sixth of a hard swish before a convolution goes into its filter, and what is
    left of the hard swish are an addition and a multiplication. Runs after batch norm has been
    folded, and before hard swishes are fused.
    """
    count = 0
    for op in graph.ops:
        found = _factor(graph, op)
        if found is None:
            continue
        factor, image, conv = found
        filter_ = conv.inputs[1]
        assert filter_.data is not None
        with np.errstate(all="ignore"):
            scaled = filter_.data * filter_.dtype.type(factor)
        graph.set_input(conv, 1, graph.constant(filter_.name, scaled))
        graph.replace_uses(op.output, image)
        graph.remove(op)
        count += 1
    return count


def _factor(graph: Graph, op: Op) -> tuple[float, Value, Op] | None:
    """The number that `op` multiplies by, what it multiplies, and the convolution that reads it."""
    if op.kind != "mul" or "activation" in op.attrs or graph.is_output(op.output):
        return None
    for index in (1, 0):
        number, image = op.inputs[index], op.inputs[1 - index]
        if number.data is None or number.data.size != 1 or image.shape != op.output.shape:
            continue
        (conv, *others) = op.output.users or [None]
        if conv is None or others or conv.kind not in _CONVOLUTIONS:
            return None
        filter_ = conv.inputs[1]
        if not op.output.read_only_by(conv) or conv.inputs[0] is not op.output:
            return None
        if filter_.data is None or not filter_.read_only_by(conv) or graph.is_output(filter_):
            return None
        return number.data.item(), image, conv
    return None
