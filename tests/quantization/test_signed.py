"""int8 after training: each operator against the model of real numbers, in LiteRT."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.compiler.emitter import emit
from flatshot.compiler.passes import WRITING, run_passes
from flatshot.compiler.quantization.ranges import apply_ranges
from flatshot.compiler.quantization.signed import SignedSettings, quantize_signed
from flatshot.compiler.reader import read_graph
from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Attr, Graph, Node
from flatshot.runtime.calibration import calibrate
from tests import litert
from tests.compiler.graphs import const, conv, graph, placeholder, randn
from tests.compiler.graphs import node as make
from tests.quantization.graphs import both, codes

RNG = np.random.default_rng(31)
SHAPE = (1, 6, 7, 4)
X = placeholder("x", *SHAPE)
POOL: dict[str, Attr] = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": b"SAME"}


def _images(count: int = 4) -> list[np.ndarray]:
    return [RNG.uniform(-1, 1, SHAPE).astype(np.float32) for _ in range(count)]


def _conv(op: str, *filter_: int) -> list[Node]:
    depth = filter_[3] if op == "Conv2D" else filter_[2] * filter_[3]
    return [
        const("w", randn(RNG, *filter_)),
        const("b", randn(RNG, depth)),
        conv("c", "x", "w", op=op),
        make("y", "BiasAdd", "c", "b"),
    ]


OPERATORS: dict[str, tuple[list[Node | list[Node]], list[str]]] = {
    "conv": ([_conv("Conv2D", 3, 3, 4, 5)], ["CONV_2D 3"]),
    "depthwise": ([_conv("DepthwiseConv2dNative", 3, 2, 4, 2)], ["DEPTHWISE_CONV_2D 3"]),
    "add": ([make("r", "Relu", "x"), make("y", "AddV2", "x", "r")], ["RELU 2", "ADD 2"]),
    "mul": ([const("k", randn(RNG, 4)), make("y", "Mul", "x", "k")], ["MUL 2"]),
    "sigmoid": ([make("y", "Sigmoid", "x")], ["LOGISTIC 2"]),
    "softmax": ([make("y", "Softmax", "x")], ["SOFTMAX 2"]),
    "tanh": ([make("y", "Tanh", "x")], ["TANH 2"]),
    "max_pool": ([make("y", "MaxPool", "r", **POOL)], ["RELU 2", "MAX_POOL_2D 2"]),
    "average_pool": ([make("y", "AvgPool", "r", **POOL)], ["RELU 2", "AVERAGE_POOL_2D 2"]),
    "mean": ([const("a", [1, 2]), make("y", "Mean", "x", "a", keep_dims=True)], ["MEAN 2"]),
    "pad": (
        [const("p", [[0, 0], [1, 0], [0, 1], [0, 0]]), make("y", "Pad", "r", "p")],
        ["RELU 2", "PAD 2"],
    ),
    "resize": (
        [const("s", [12, 14]), make("y", "ResizeBilinear", "r", "s", half_pixel_centers=True)],
        ["RELU 2", "RESIZE_BILINEAR 3"],
    ),
    "nearest": (
        [const("s", [12, 14]), make("y", "ResizeNearestNeighbor", "r", "s")],
        ["RELU 2", "RESIZE_NEAREST_NEIGHBOR 2"],
    ),
    "reshape": ([const("s", [1, -1, 4]), make("y", "Reshape", "r", "s")], ["RELU 2", "RESHAPE 1"]),
    "transpose": (
        [const("s", [0, 3, 1, 2]), make("y", "Transpose", "r", "s")],
        ["RELU 2", "TRANSPOSE 2"],
    ),
    "slice": (
        [const("b", [0, 1, 1, 0]), const("s", [1, 2, 3, 4]), make("y", "Slice", "r", "b", "s")],
        ["RELU 2", "SLICE 2"],
    ),
    "maximum": (
        [const("k", randn(RNG, 4)), make("y", "Maximum", "x", "k")],
        ["MAXIMUM 2"],
    ),
    "minimum": (
        [const("k", randn(RNG, 4)), make("y", "Minimum", "x", "k")],
        ["MINIMUM 2"],
    ),
}


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_each_operator(name: str) -> None:
    """Within what rounding can do: the result has 8 bits, and so have what it is made of."""
    nodes, kinds = OPERATORS[name]
    before = [make("r", "Relu", "x")] if kinds[:1] == ["RELU 2"] and name != "add" else []
    want, got, model = both(graph(X, before, *nodes), _images())
    # Inputs are off by half a step of 2/255 each, results by half a step of their own; a sum of
    # 36 products of weights of about 1 adds up to a few steps.
    limit = 0.03 * float(np.abs(want).max()) + 0.02
    assert np.abs(got - want).max() <= limit
    assert [code for code in codes(model) if "QUANTIZE" not in code] == kinds


def test_a_concatenation_has_one_scale() -> None:
    """Its parts are brought to it."""
    nodes = [
        const("two", 20.0),
        make("wide", "Mul", "x", "two"),
        make("r", "Relu", "x"),
        const("axis", 3),
        make("y", "ConcatV2", "r", "wide", "axis"),
    ]
    want, got, model = both(graph(X, *nodes), _images())
    assert np.abs(got - want).max() <= 40 / 255
    assert codes(model).count("QUANTIZE 1") == 2  # the input, and the narrow part
    tensors = {t.name: t.quantization for t in model.subgraphs[0].tensors}
    (joined,) = [
        o
        for o in model.subgraphs[0].operators
        if isinstance(o.options, tflite.ConcatenationOptions)
    ]
    names = [model.subgraphs[0].tensors[n].name for n in tflite.indices(joined.inputs)]
    said = [tensors[name] for name in (*names, "y")]
    assert len({float(q.scale[0]) for q in said if q is not None and q.scale is not None}) == 1


def test_hard_swish_is_taken_apart() -> None:
    """XNNPACK has no int8 HARD_SWISH: two multiplications and an addition are faster."""
    gate = [
        const("three", 3.0),
        make("plus", "AddV2", "x", "three"),
        make("gate", "Relu6", "plus"),
        const("sixth", np.float32(1 / 6)),
        make("xg", "Mul", "x", "gate"),
        make("y", "Mul", "xg", "sixth"),
    ]
    want, got, model = both(graph(X, gate), _images())
    assert np.abs(got - want).max() <= 0.02
    assert [code.split()[0] for code in codes(model)] == ["QUANTIZE", "ADD", "MUL", "MUL"]


def _head(weights: float, bias: float) -> Graph:
    """A head of two channels, the second of which has nothing but these."""
    filter_ = randn(RNG, 1, 1, 4, 2)
    filter_[..., 1] = weights
    return graph(
        X,
        const("w", filter_),
        const("b", np.array([0.5, bias], np.float32)),
        conv("c", "x", "w"),
        make("y", "BiasAdd", "c", "b"),
    )


@pytest.mark.parametrize("weights", [0.0, 1e-30, 1e-12, -1e-6])
def test_a_channel_without_weights_keeps_its_bias(weights: float) -> None:
    """Google's quantiser clamps it to a logit of 0, and 90 false boxes fill the places."""
    want, got, _ = both(_head(weights, -8.0), _images())
    assert np.abs(want[..., 1] + 8).max() < 0.01
    assert np.abs(got[..., 1] + 8).max() <= 0.1


@given(st.sampled_from([0.0, 1e-30, 1e-12, 1e-6, 1.0, 1e6]), st.floats(-100, 100, width=32))
def test_scales_at_their_edges(weights: float, bias: float) -> None:
    """Whatever weights and bias a channel has, its result is within a few of its steps."""
    want, got, model = both(_head(weights, bias), _images(2))
    said = next(t for t in model.subgraphs[0].tensors if t.name == "y").quantization
    assert said is not None
    assert said.scale is not None
    # Half a step of the result, and inputs that are half a step off times the sum of the weights.
    limit = said.scale[0] + 4 * abs(weights) / 255 + 4 * 3.5 / 255
    assert np.abs(got - want).max() <= limit


@pytest.mark.parametrize("value", [0.0, 3.0, 0.001, -2.0, 1e-30, 1e30])
def test_constant_tensors(value: float) -> None:
    """A tensor that is one number is that number."""
    nodes = [
        const("zero", 0.0),
        make("none", "Mul", "x", "zero"),
        const("k", value),
        make("sum", "AddV2", "none", "k"),
        make("y", "Relu6", "sum") if abs(value) < 6 and value > 0 else make("y", "Relu", "sum"),
    ]
    want, got, _ = both(graph(X, *nodes), _images(2))
    np.testing.assert_allclose(got, want, rtol=0.01, atol=1e-5)  # what is next to 0 may be 0


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_inputs(kind: str) -> None:
    """In real numbers a QUANTIZE stands before; uint8 is brought to int8 by one."""
    pixels = RNG.integers(0, 256, SHAPE)
    source = graph(X, *_conv("Conv2D", 3, 3, 4, 5))
    image = (pixels * 2 / 255 - 1).astype(np.float32)
    settings = SignedSettings(input=kind)  # type: ignore[arg-type]
    feeds: dict[str, Array] = {
        "float32": image,
        "uint8": pixels.astype(np.uint8),
        "int8": (pixels - 128).astype(np.int8),
    }
    want, _, _ = both(source, [image])
    model = convert(source, output_arrays=["y"])
    ir = read_graph(model.tflite)
    apply_ranges(ir, calibrate(model.to_bytes(), [image], ["y"]))
    quantize_signed(ir, settings)
    run_passes(ir, WRITING)
    (got,) = litert.run(tflite.write_model(emit(ir, "")), feeds[kind])
    quantization = ir.outputs[0].quantization
    assert quantization is not None
    real = (got.astype(np.float32) - quantization.zero_point[0]) * quantization.scale[0]
    assert np.abs(real - want).max() <= 0.03 * np.abs(want).max() + 0.02


def test_what_is_kept_stays_real() -> None:
    """By the name of its result; one that keeps nothing is an error."""
    source = graph(X, *_conv("Conv2D", 3, 3, 4, 5)[:3], make("y", "Sigmoid", "c"))
    _, _, model = both(source, _images(), SignedSettings(keep=["^c$"]))
    assert codes(model) == ["CONV_2D 1", "QUANTIZE 1", "LOGISTIC 2"]
    with pytest.raises(ConfigError, match="no tensor matches"):
        both(source, _images(), SignedSettings(keep=["nothing"]))
    with pytest.raises(ConfigError, match="--keep"):
        both(source, _images(), SignedSettings(keep=["("]))
