"""GraphDef -> IR: what the chosen outputs need, in an order that can run, with all shapes known."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.compiler.ir import Dims, Graph, Op, Value
from flatshot.compiler.operators import BY_TF_NAME, Operator, foretell
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats import graphdef
from flatshot.formats.custom_options import Option
from flatshot.formats.detector_graph import POSTPROCESS, POSTPROCESS_COUNT
from flatshot.formats.graphdef import (
    MAX_TENSOR_BYTES,
    DataType,
    Node,
    Shape,
    TensorName,
    parse_tensor,
)
from flatshot.formats.order import first_ready, sort_nodes

_log = logging.getLogger("flatshot")

CUSTOM = "custom"
SOURCES = ("Const", "Placeholder")
# A detector has about a thousand nodes. The passes take time in proportion, planning memory in
# proportion to the square of what is alive at once: no graph shall keep a machine busy for hours.
MAX_NODES = 2**16
# Hands each of its inputs on, as a function with a gradient of its own (swish) does.
_IDENTITIES = "IdentityN"


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Where the model begins and ends in a graph.

    Attributes:
        inputs: names of the inputs; empty for the graph's placeholders.
        shapes: their shapes where the graph leaves them open, in the order of `inputs`.
        outputs: names of the outputs (`name` or `name:k`).
        allow_custom_ops: let operators that are not known through as custom ones.
    """

    inputs: tuple[str, ...] = ()
    shapes: tuple[Dims, ...] = ()
    outputs: tuple[str, ...] = ()
    allow_custom_ops: bool = False


def import_graph(source: graphdef.Graph, boundary: Boundary) -> Graph:
    """The IR of the part of `source` that lies within `boundary`.

    Raises:
        GraphError: a cycle, a missing node, a shape that cannot be.
        UnsupportedOpError: operators that are not known, all of them at once.
    """
    inputs = input_shapes(source, boundary)
    needed = needed_nodes(source, boundary)
    if unused := [name for name in boundary.inputs if name not in needed]:
        raise GraphError(f"no output needs the inputs {_line(*unused)}: leave them out")
    if len(needed) > MAX_NODES:
        raise GraphError(
            f"the outputs need {len(needed)} nodes; the largest graph that is converted has "
            f"{MAX_NODES}, some fifty times those of a detector"
        )

    stop = set(inputs)

    def sources(node: Node) -> Sequence[str]:
        return _sources(source, node.name, stop)

    wanted = [node for node in source if node.name in needed]
    order = first_ready(source, sort_nodes(source, wanted, sources), sources)
    _check_known([node for node in order if node.name not in inputs], boundary)
    graph = Graph()
    values: dict[str, Value] = {}
    used = _highest_outputs(order, boundary)
    for node in order:
        if node.name in inputs:
            value = Value(node.name, inputs[node.name], np.dtype(np.float32))
            graph.inputs.append(value)
            values[node.name] = value
        elif node.op == "Const":
            values[node.name] = _constant(node)
        else:
            _import_op(graph, node, values, used)
    rank = {name: number for number, name in enumerate(inputs)}
    graph.inputs.sort(key=lambda value: rank[value.name])
    graph.outputs = [_find(values, name, "the list of outputs") for name in boundary.outputs]
    return graph


def input_shapes(source: graphdef.Graph, boundary: Boundary) -> dict[str, Dims]:
    """The shapes of the inputs, by name.

    Raises:
        GraphError: an input is not in the graph, is no float32, or its shape is not known.
    """
    names = boundary.inputs or tuple(node.name for node in source if node.op == "Placeholder")
    if boundary.shapes and len(boundary.shapes) != len(names):
        raise GraphError(
            f"{len(boundary.shapes)} input shapes for {len(names)} inputs ({_line(*names)})"
        )
    shapes = {}
    for number, name in enumerate(names):
        if name not in source.by_name:
            raise GraphError(f"there is no node {name!r} to be an input")
        shapes[name] = _input_shape(
            source.by_name[name], boundary.shapes[number] if boundary.shapes else None
        )
    return shapes


def _input_shape(node: Node, given: Dims | None) -> Dims:
    declared = node.attrs.get("shape")
    dims = declared.dims if node.op == "Placeholder" and isinstance(declared, Shape) else None
    if node.op == "Placeholder" and node.attrs.get("dtype") not in (None, DataType.DT_FLOAT):
        raise GraphError(
            f"the input {node.name!r} is no float32: begin after the preprocessing (--input_arrays)"
        )
    if given is not None:
        fits = dims is None or (
            len(dims) == len(given)
            and all(want in (-1, size) for want, size in zip(dims, given, strict=True))
        )
        if not fits:
            raise GraphError(f"the input {node.name!r} is {list(dims or ())}, not {list(given)}")
        dims = given
    if dims is None or min(dims, default=1) < 1:
        known = "unknown" if dims is None else str(list(dims))
        raise GraphError(
            f"the shape of the input {node.name!r} is {known}: give one with --input_shapes"
        )
    _check_size(node.name, dims, np.dtype(np.float32).itemsize)
    return dims


def needed_nodes(source: graphdef.Graph, boundary: Boundary) -> set[str]:
    """The names of the nodes that the outputs need, up to the inputs.

    Raises:
        GraphError: an output is not in the graph, or a node that one needs.
    """
    waiting = [parse_tensor(name).node for name in boundary.outputs]
    for name in waiting:
        if name not in source.by_name:
            raise GraphError(f"there is no node {name!r} to be an output")
    stop = set(boundary.inputs)
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _sources(source, name, stop)
    return needed


def _sources(source: graphdef.Graph, name: str, stop: set[str]) -> Sequence[str]:
    """The nodes whose values the node `name` reads; control edges carry none."""
    if name in stop:
        return ()
    found = source.by_name[name].sources
    for missing in (other for other in found if other not in source.by_name):
        raise GraphError(f"node {name!r} reads {missing!r}, which is not in the graph")
    return found


def _check_known(nodes: Sequence[Node], boundary: Boundary) -> None:
    unknown: dict[str, list[str]] = {}
    for node in nodes:
        if node.op == "Placeholder":
            raise GraphError(f"the placeholder {node.name!r} is needed and is not an input")
        if node.op not in BY_TF_NAME and node.op not in ("Const", POSTPROCESS, _IDENTITIES):
            unknown.setdefault(node.op, []).append(node.name)
    if unknown and not boundary.allow_custom_ops:
        listed = "; ".join(
            f"{_line(op)} ({_line(*names)})" for op, names in sorted(unknown.items())
        )
        raise UnsupportedOpError(
            f"no TensorFlow Lite operator is known for: {listed}; cut the graph before them "
            "(--output_arrays) or let them through as custom operators (--allow_custom_ops)"
        )
    for op in sorted(unknown):
        _log.info("Converting unsupported operation: %s", _line(op))


def _line(*names: str) -> str:
    """`names` in a line; quoted where they would break it."""
    return ", ".join(name if name.isprintable() else repr(name) for name in names)


def _constant(node: Node) -> Value:
    data = node.attrs.get("value")
    if not isinstance(data, np.ndarray):
        raise GraphError(f"the constant {node.name!r} has no value")
    return Value(node.name, data.shape, data.dtype, data)


def _find(values: Mapping[str, Value], name: str, where: str) -> Value:
    value = values.get(str(parse_tensor(name)))
    if value is None:
        raise GraphError(f"{where} names {name!r}, an output that its node does not have")
    return value


def _highest_outputs(nodes: Sequence[Node], boundary: Boundary) -> dict[str, int]:
    """The number of the last output of each node that something reads."""
    highest: dict[str, int] = {}
    names = [text for node in nodes for text in node.data_inputs]
    for tensor in map(parse_tensor, [*names, *boundary.outputs]):
        highest[tensor.node] = max(tensor.number, highest.get(tensor.node, 0))
    return highest


def _import_op(graph: Graph, node: Node, values: dict[str, Value], used: Mapping[str, int]) -> None:
    inputs = [_find(values, text, f"node {node.name!r}") for text in node.data_inputs]
    if node.op == _IDENTITIES:
        _import_identities(graph, node, inputs, values)
        return
    if node.op not in BY_TF_NAME:
        _import_custom(graph, node, inputs, values, used[node.name])
        return
    operator = BY_TF_NAME[node.op]
    _check_inputs(node, operator, inputs)
    op, shape, dtype, count = foretell(node, operator, inputs)
    _check_size(node.name, shape, dtype.itemsize)
    outputs = []
    for number in range(count):
        name = str(TensorName(node.name, number))
        outputs.append(Value(name, shape, dtype))
        values[name] = outputs[-1]
    graph.add(op, outputs)


def _import_identities(
    graph: Graph, node: Node, inputs: list[Value], values: dict[str, Value]
) -> None:
    """An operator that hands on several values: one identity for each."""
    for number, value in enumerate(inputs):
        name = str(TensorName(node.name, number))
        values[name] = Value(name, value.shape, value.dtype)
        graph.add(Op("identity", name, [value], {}), [values[name]])


def _check_inputs(node: Node, operator: Operator, inputs: Sequence[Value]) -> None:
    least, most = operator.inputs
    if not least <= len(inputs) <= most:
        raise GraphError(f"{node.op} {node.name!r} has {len(inputs)} inputs, not {least}")
    for value in inputs:
        if value.dtype.name not in operator.elements:
            raise GraphError(f"{node.op} {node.name!r} reads {value.name!r} of {value.dtype}")
        if operator.alike and value.dtype != inputs[0].dtype:
            raise GraphError(
                f"{node.op} {node.name!r} reads {inputs[0].dtype} and {value.dtype} together"
            )


def _import_custom(
    graph: Graph,
    node: Node,
    inputs: list[Value],
    values: dict[str, Value],
    last_used: int,
) -> None:
    """An operator kept under its own name; its shapes are known only when it runs."""
    types = node.attrs.get("_output_types")
    if isinstance(types, list) and types:
        count = len(types)
    else:  # as the exporter of 2018 left it
        count = max(last_used + 1, POSTPROCESS_COUNT if node.op == POSTPROCESS else 1)
    op = Op(CUSTOM, node.name, inputs, {"op": node.op, "options": scalar_attrs(node)})
    outputs = []
    for number in range(count):
        name = str(TensorName(node.name, number))
        outputs.append(Value(name, None, np.dtype(np.float32)))
        values[name] = outputs[-1]
    graph.add(op, outputs)


def scalar_attrs(node: Node) -> dict[str, Option]:
    """The attributes of `node` that are numbers: what becomes the options of a custom operator."""
    return {
        name: value
        for name, value in node.attrs.items()
        if isinstance(value, bool | int | float) and not isinstance(value, DataType)
    }


def _check_size(name: str, dims: Dims, item: int) -> None:
    if math.prod(dims) * item > MAX_TENSOR_BYTES:
        raise GraphError(f"{name!r} of shape {list(dims)} is larger than 2 GiB")
