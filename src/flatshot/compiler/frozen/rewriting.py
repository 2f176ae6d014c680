"""Nodes that optimisers and exporters leave behind, written as the plain operators they stand for.

Sources: TensorFlow's `grappler/optimizers/remapper.cc`, TensorFlow.js' `fuse_depthwise_conv2d.py`.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.weighted_sums import write_out_sums
from flatshot.compiler.frozen.wiring import check_count, constant_node
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats.graphdef import FLOAT, DataType, Graph, Node, parse_tensor

_FUSED = {
    "_FusedConv2D": "Conv2D",
    "_FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "_FusedMatMul": "MatMul",
}
_ACTIVATIONS = ("Relu", "Relu6", "Elu", "LeakyRelu", "Sigmoid", "Tanh")


def rewrite(graph: Graph) -> Graph:
    """`graph` without fused operators, explicit padding, decided branches and sums as products.

    Names of tensors stay: the last of the nodes that a fused one becomes has its name.

    Raises:
        UnsupportedOpError: an operator fused to a convolution is not known.
    """
    nodes = [part for node in graph for part in _expand(node)]
    return write_out_sums(decide_branches(Graph(tuple(nodes))))


def _expand(node: Node) -> Iterator[Node]:
    if node.op in _FUSED:
        check_count(node)
        for part in _expand_fused(node):
            yield from _expand(part)
    elif node.op in ("Conv2D", "DepthwiseConv2dNative") and node.attrs.get("padding") == (
        b"EXPLICIT"
    ):
        yield from _expand_padding(node)
    else:
        yield node


def _expand_fused(node: Node) -> Iterator[Node]:
    """A convolution with what is fused to it: a bias or batch norm, then an activation."""
    fused = node.attrs.get("fused_ops")
    ops = [item.decode(errors="replace") for item in fused] if isinstance(fused, list) else []
    image, filter_, *others = node.data_inputs
    names = [f"{node.name}/{op}" for op in [_FUSED[node.op], *ops]]
    names[-1] = node.name
    dropped = ("fused_ops", "epsilon", "leakyrelu_alpha", "num_args")
    attrs = {key: value for key, value in node.attrs.items() if key not in dropped}
    yield Node(names[0], _FUSED[node.op], (image, filter_), attrs)
    wanted = ops.count("BiasAdd") + 4 * ops.count("FusedBatchNorm")
    if len(others) < wanted:
        raise GraphError(f"{node.op} {node.name!r} has {len(others)} operands, not {wanted}")
    for op, before, name in zip(ops, names, names[1:], strict=False):
        if op == "BiasAdd":
            layout = node.attrs.get("data_format", b"NHWC")
            yield Node(name, op, (before, others.pop(0)), {**FLOAT, "data_format": layout})
        elif op == "FusedBatchNorm":
            epsilon = node.attrs.get("epsilon", 1e-4)
            batch_norm = {**FLOAT, "U": DataType.DT_FLOAT, "epsilon": epsilon, "is_training": False}
            yield Node(name, "FusedBatchNormV3", (before, *others[:4]), batch_norm)
            others = others[4:]
        elif op in _ACTIVATIONS:
            alpha = node.attrs.get("leakyrelu_alpha", 0.2)
            extra = {"alpha": alpha} if op == "LeakyRelu" else {}
            yield Node(name, op, (before,), {**FLOAT, **extra})
        else:
            raise UnsupportedOpError(f"{node.op} {node.name!r}: {op!r} fused to it is not known")


def _expand_padding(node: Node) -> Iterator[Node]:
    pads = node.attrs.get("explicit_paddings")
    check_count(node)
    if not isinstance(pads, list) or len(pads) != 8 or not all(type(p) is int for p in pads):
        raise UnsupportedOpError(f"{node.op} {node.name!r}: explicit_paddings {pads!r}")
    yield constant_node(f"{node.name}/paddings", np.array(pads, np.int32).reshape(4, 2))
    padded = f"{node.name}/padded"
    yield Node(padded, "Pad", (node.inputs[0], f"{node.name}/paddings"), FLOAT)
    attrs = {key: value for key, value in node.attrs.items() if key != "explicit_paddings"}
    yield Node(node.name, node.op, (padded, *node.inputs[1:]), {**attrs, "padding": b"VALID"})


def decide_branches(graph: Graph) -> Graph:
    """`graph` without the branches that a constant decides: what `is_training` leaves behind.

    Output 1 of a Switch is alive where its condition holds, output 0 where it does not. A Merge
    hands on the input that is alive. Loops, which no constant decides, stay.
    """
    switches = {node.name: node for node in graph if node.op == "Switch"}
    if not switches:
        return graph
    evaluation = Evaluation(graph, {})
    alive: dict[str, int] = {}
    for node in switches.values():
        check_count(node)
        condition = evaluation.constant(node.data_inputs[1])
        if condition is not None and condition.size == 1:
            alive[node.name] = int(bool(condition.reshape(())))
    dead = _dead_tensors(graph, alive)
    nodes = []
    for node in graph:
        if node.name in alive:
            nodes.append(Node(node.name, "Identity", (node.data_inputs[0],)))
            continue
        inputs = tuple(_without_number(text, alive) for text in node.inputs)
        if node.op == "Merge":
            living = [text for text in node.data_inputs if text not in dead]
            if len(living) == 1:
                nodes.append(Node(node.name, "Identity", (_without_number(living[0], alive),)))
                continue
        nodes.append(Node(node.name, node.op, inputs, node.attrs))
    return Graph(tuple(nodes))


def _without_number(text: str, alive: dict[str, int]) -> str:
    name = parse_tensor(text).node
    return name if name in alive else text


def _dead_tensors(graph: Graph, alive: dict[str, int]) -> set[str]:
    """The tensors of branches that are not taken, by the names under which they are read."""
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in graph:
        for text in set(node.data_inputs):
            readers[text].append(node)
    waiting = [name if number else f"{name}:1" for name, number in alive.items()]
    dead: set[str] = set()
    while waiting:
        text = waiting.pop()
        if text in dead:
            continue
        dead.add(text)
        for node in readers[text]:
            merges = node.op == "Merge" and not dead.issuperset(node.data_inputs)
            if not merges and node.name not in alive:
                waiting.append(node.name)
    return dead
