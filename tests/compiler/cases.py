"""A graph or more for each operator that other people's detectors use: see `test_each_op`.

Every dimension has a different extent, so that a mistake of layout cannot hide; what is no float32
is cast to it at the end, for outputs are compared as numbers.
"""

from collections.abc import Iterator

import numpy as np

from flatshot.formats.graphdef import Attr, DataType, Graph, Node
from tests.compiler.graphs import const, graph, placeholder, randn
from tests.compiler.graphs import node as make

RNG = np.random.default_rng(8)
IMAGE = placeholder("x", 2, 7, 9, 3)


def _on(x: Node, op: str, *operands: object, **attrs: Attr) -> Graph:
    """`op` on an input and constants."""
    names = [f"c{number}" for number in range(len(operands))]
    constants = [const(name, value) for name, value in zip(names, operands, strict=True)]
    return graph(x, constants, make("y", op, "x", *names, **attrs))


def _positive(op: str, *shape: int, **attrs: Attr) -> Graph:
    """`op` on numbers of at least 0.1."""
    return graph(
        placeholder("x", *shape),
        make("abs", "Abs", "x"),
        const("little", 0.1),
        make("above", "AddV2", "abs", "little"),
        make("y", op, "above", **attrs),
    )


def _as_float(*nodes: Node | list[Node]) -> Graph:
    """The nodes, of which the one called `z` gives integers."""
    return graph(*nodes, make("y", "Cast", "z", DstT=DataType.DT_FLOAT))


def _pools(op: str) -> Iterator[Graph]:
    for window, strides in (((2, 3), (1, 1)), ((3, 2), (2, 2)), ((3, 3), (1, 2))):
        for padding in (b"SAME", b"VALID"):
            yield _on(IMAGE, op, ksize=[1, *window, 1], strides=[1, *strides, 1], padding=padding)


def _resizes(op: str) -> Iterator[Graph]:
    for size in ([14, 27], [4, 5], [7, 20], [1, 1]):
        yield _on(IMAGE, op, size)
        yield _on(IMAGE, op, size, align_corners=True)
        yield _on(IMAGE, op, size, half_pixel_centers=True)


def _strided_slices() -> Iterator[Graph]:
    x = placeholder("x", 4, 5, 6, 7)
    yield _on(x, "StridedSlice", [0, 1, 2, 0], [4, 5, 6, 7], [1, 2, 3, 1])
    yield _on(x, "StridedSlice", [0, 1, -2, 5], [4, -1, 6, 1], [1, 1, 1, -2])
    masks: dict[str, Attr] = {"begin_mask": 0b0101, "end_mask": 0b1001, "shrink_axis_mask": 0b0010}
    yield _on(x, "StridedSlice", [1, 3, 2, 1], [2, 4, 5, 3], [1, 1, 1, 1], **masks)
    yield _on(x, "StridedSlice", [1, 2], [3, 4], [1, 1], ellipsis_mask=0b01)
    yield _on(x, "StridedSlice", [0, 1], [0, 3], [1, 1], new_axis_mask=0b01)


def _hard_swishes() -> Iterator[Graph]:
    x = placeholder("x", 2, 3, 4, 5)
    gate = [
        const("three", 3.0),
        make("plus", "AddV2", "x", "three"),
        make("gate", "Relu6", "plus"),
        const("sixth", np.float32(1 / 6)),
    ]
    yield graph(x, gate, make("xg", "Mul", "x", "gate"), make("y", "Mul", "xg", "sixth"))
    yield graph(x, gate, make("g6", "Mul", "gate", "sixth"), make("y", "Mul", "x", "g6"))
    yield graph(x, gate, make("g6", "Mul", "sixth", "gate"), make("y", "Mul", "g6", "x"))


def _fake_quants() -> Iterator[Graph]:
    x = placeholder("x", 2, 3, 4, 5)
    # Of weights: they are constant, and what comes out of the file are those on the grid.
    limits = [const("low", -1.0), const("high", 1.0), const("w", randn(RNG, 3, 4, 5))]
    attrs: dict[str, Attr] = {"num_bits": 4, "narrow_range": True}
    grid = make("grid", "FakeQuantWithMinMaxVars", "w", "low", "high", **attrs)
    yield graph(x, limits, grid, make("y", "Mul", "x", "grid"))


def _several(op: str, axes: tuple[int, ...]) -> Iterator[Graph]:
    """Operators with several outputs, of which the second and the last are used."""
    for axis in axes:
        x = placeholder(
            "x", *(3 if number == axis % 4 else n for number, n in enumerate((2, 4, 5, 6)))
        )
        if op == "Split":
            cut = [const("axis", axis), make("parts", "Split", "axis", "x", num_split=3)]
        else:
            cut = [make("parts", "Unpack", "x", num=3, axis=axis)]
        yield graph(x, cut, make("y", "Sub", "parts:1", "parts:2"))


def cases() -> dict[str, list[Graph]]:
    """Graphs that end in `y`, by the kind of the operator that they try."""
    x = placeholder("x", 2, 3, 4, 5)
    functions = {"neg": "Neg", "abs": "Abs", "square": "Square", "tanh": "Tanh", "elu": "Elu"}
    block = _on(placeholder("x", 2, 4, 9, 5), "SpaceToBatchND", [2, 3], [[1, 1], [2, 1]])
    return {
        **{kind: [_on(x, op)] for kind, op in functions.items()},
        "exp": [_on(x, "Exp")],
        "sqrt": [_positive("Sqrt", 2, 3, 4, 5)],
        "rsqrt": [_positive("Rsqrt", 2, 3, 4, 5)],
        "hard_swish": list(_hard_swishes()),
        "leaky_relu": [_on(x, "LeakyRelu", alpha=alpha) for alpha in (0.2, 0.01)],
        "squared_difference": [_on(x, "SquaredDifference", randn(RNG, *s)) for s in ((5,), (4, 1))],
        "add_n": [graph(x, placeholder("z", 2, 3, 4, 5), make("y", "AddN", "x", "z", "x"))],
        "fake_quant": list(_fake_quants()),
        "max_pool": list(_pools("MaxPool")),
        "average_pool": list(_pools("AvgPool")),
        "mean": [
            _on(IMAGE, "Mean", axes, keep_dims=keep)
            for axes in ([1, 2], [2], [-1, 0])
            for keep in (True, False)
        ],
        "pad": [_on(IMAGE, "Pad", [[0, 0], [1, 2], [3, 0], [0, 1]])],
        "pad_with": [_on(IMAGE, "PadV2", [[0, 0], [1, 2], [3, 0], [0, 1]], -2.5)],
        "mirror_pad": [
            _on(IMAGE, "MirrorPad", [[0, 1], [2, 3], [4, 0], [1, 1]], mode=mode)
            for mode in (b"REFLECT", b"SYMMETRIC")
        ],
        "space_to_batch": [block],
        "batch_to_space": [
            _on(placeholder("x", 12, 4, 5, 3), "BatchToSpaceND", [2, 3], [[1, 0], [2, 3]])
        ],
        "resize_nearest": list(_resizes("ResizeNearestNeighbor")),
        "resize_bilinear": list(_resizes("ResizeBilinear")),
        "shape": [
            graph(
                placeholder("x", 2, 3, 5, 4),
                make("sides", "Shape", "x"),
                make("numbers", "Cast", "sides", DstT=DataType.DT_FLOAT),
                make("y", "Mul", "x", "numbers"),
            )
        ],
        "fill": [
            graph(x, const("dims", [3, 4, 5]), const("v", 1.5), make("z", "Fill", "dims", "v"),
                  make("y", "Mul", "z", "x"))
        ],
        "tile": [_on(x, "Tile", [1, 2, 3, 1])],
        "cast": [_as_float(x, make("z", "Cast", "x", DstT=DataType.DT_INT32))],
        "transpose": [_on(x, "Transpose", order) for order in ([0, 3, 1, 2], [3, 2, 1, 0])],
        "expand_dims": [_on(x, "ExpandDims", axis) for axis in (0, 2, -1)],
        "pack": [
            graph(x, placeholder("z", 2, 3, 4, 5), make("y", "Pack", "x", "z", "x", axis=axis))
            for axis in (0, 2, -1)
        ],
        "unpack": list(_several("Unpack", (0, 2, -1))),
        "split": list(_several("Split", (0, 2, -1))),
        "slice": [_on(x, "Slice", [0, 1, 1, 0], [-1, 2, 2, 4])],
        "strided_slice": list(_strided_slices()),
        "gather": [
            _on(x, "Gather", [1, 0, 1]),
            _on(x, "GatherV2", [3, 0], 2),
            _on(x, "GatherV2", [[1, 4], [2, 2]], -1),
        ],
    }  # fmt: skip
