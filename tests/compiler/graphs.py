"""Small graphs: GraphDef nodes in a few words, and their meaning worked out in NumPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.compiler import ir as compiler_ir
from flatshot.compiler.importer import Boundary, import_graph
from flatshot.compiler.operators import evaluate
from flatshot.formats.graphdef import Attr, DataType, Graph, Node, Shape

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


def placeholder(name: str, *dims: int) -> Node:
    """An input of float32."""
    return Node(name, "Placeholder", (), {"dtype": DataType.DT_FLOAT, "shape": Shape(dims)})


def const(name: str, value: Any) -> Node:
    """A constant: an array as it is, a list of integers as int32, of floats as float32."""
    array = np.asarray(value)
    if not isinstance(value, np.ndarray | np.generic):
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    return Node(name, "Const", (), {"value": array})


def node(name: str, op: str, *inputs: str, **attrs: Attr) -> Node:
    """Any other node."""
    return Node(name, op, inputs, attrs)


def conv(
    name: str,
    image: str,
    filter_: str,
    *,
    op: str = "Conv2D",
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    padding: bytes = b"SAME",
) -> Node:
    """A convolution."""
    return node(
        name,
        op,
        image,
        filter_,
        strides=[1, *strides, 1],
        dilations=[1, *dilations, 1],
        padding=padding,
    )


def batch_norm(
    name: str, image: str, depth: int, rng: np.random.Generator, **attrs: Attr
) -> list[Node]:
    """A batch norm with random parameters, gamma of both signs, and their constants."""
    values = {
        "gamma": rng.normal(0, 1, depth),
        "beta": rng.normal(0, 1, depth),
        "mean": rng.normal(0, 1, depth),
        "variance": rng.uniform(0.5, 2, depth),
    }
    constants = [const(f"{name}/{key}", value.astype(np.float32)) for key, value in values.items()]
    settings: dict[str, Attr] = {"epsilon": 0.001, "is_training": False, **attrs}
    inputs = [image, *(f"{name}/{key}" for key in values)]
    return [*constants, node(name, "FusedBatchNormV3", *inputs, **settings)]


def randn(rng: np.random.Generator, *shape: int) -> Float32:
    """Normal float32 numbers."""
    return rng.normal(0, 1, shape).astype(np.float32)


def graph(*nodes: Node | list[Node]) -> Graph:
    """The nodes, lists of them laid flat."""
    return Graph(tuple(n for item in nodes for n in (item if isinstance(item, list) else [item])))


def imported(source: Graph, *outputs: str, **options: Any) -> compiler_ir.Graph:
    """The IR of `source` before any pass."""
    return import_graph(source, Boundary(outputs=outputs, **options))


def meaning(ir: compiler_ir.Graph, feeds: Mapping[str, Array]) -> list[Array]:
    """What the outputs of `ir` are when its inputs are `feeds`, by the kernels alone."""
    known: dict[int, Array] = {id(value): feeds[value.name] for value in ir.inputs}
    for value in ir.values():
        if value.data is not None:
            known[id(value)] = value.data
    for op in ir.ops:
        result = evaluate(op, *(known[id(value)] for value in op.inputs))
        results = result if len(op.outputs) > 1 else [result]
        known |= {id(value): part for value, part in zip(op.outputs, results, strict=True)}
    return [known[id(value)] for value in ir.outputs]


def feeds_for(ir: compiler_ir.Graph, rng: np.random.Generator) -> dict[str, Array]:
    """Random values for the inputs of `ir`."""
    return {value.name: randn(rng, *value.dims) for value in ir.inputs}
