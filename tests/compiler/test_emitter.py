"""What is written is what today's tools read."""

import numpy as np
import pytest

from flatshot.compiler import ir as compiler_ir
from flatshot.compiler.compile import Model
from flatshot.compiler.emitter import emit
from flatshot.conversion.convert import convert
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Graph, Node
from tests import litert
from tests.compiler.graphs import const, conv, graph, imported, meaning, placeholder, randn
from tests.compiler.graphs import node as make

RNG = np.random.default_rng(9)


@pytest.fixture
def small() -> Graph:
    """A convolution, and two outputs whose names are not in the order of the alphabet."""
    return graph(
        placeholder("image", 1, 5, 6, 3),
        const("w", randn(RNG, 3, 3, 3, 2)),
        conv("z", "image", "w"),
        make("a", "Sigmoid", "z"),
    )


@pytest.fixture
def model(small: Graph) -> Model:
    """The model of it."""
    return convert(small, output_arrays=["z", "a"])


def test_both_fields_of_the_builtin_code() -> None:
    """Readers of either age find the code; those past 127 only in the new field."""
    source = graph(placeholder("x", 2), make("y", "Maximum", "x", "x"), make("z", "Foo", "y"))
    model = convert(source, output_arrays=["z"], allow_custom_ops=True).tflite
    codes = [
        (c.deprecated_builtin_code, c.builtin_code, c.custom_code) for c in model.operator_codes
    ]
    assert codes == [(32, 32, "Foo"), (55, 55, "")]
    assert all(code.version == 1 for code in model.operator_codes)


def test_the_signature_can_be_called(model: Model, small: Graph) -> None:
    """By the names of inputs and outputs, as LiteRT's own tools do."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=bytes(model.to_bytes()))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["a", "z"]}
    }
    image = randn(RNG, 1, 5, 6, 3)
    got = interpreter.get_signature_runner()(image=image)
    want = litert.run(model.to_bytes(), image)
    # the default delegate adds up in another order than the plain kernels: 27 products
    np.testing.assert_allclose(got["z"], want[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(got["a"], want[1], atol=1e-5, rtol=0)


def test_outputs_keep_the_order_asked_for(model: Model) -> None:
    """Tensors are sorted, outputs are not."""
    subgraph = model.tflite.subgraphs[0]
    names = [tensor.name for tensor in subgraph.tensors]
    assert names == sorted(names)
    assert [names[n] for n in tflite.indices(subgraph.outputs)] == ["z", "a"]


def test_constants_are_aligned(model: Model) -> None:
    """To 16 bytes in the file, as delegates ask."""
    data = np.frombuffer(bytes(model.to_bytes()), np.uint8)
    read = tflite.read_model(data.data)
    constants = [b.data for b in read.buffers if b.data is not None and b.data.size]
    assert len(constants) == 2
    for array in constants:
        assert (array.ctypes.data - data.ctypes.data) % 16 == 0
    assert data[4:8].tobytes() == b"TFL3"


def test_the_flatbuffer_is_read_by_the_schema_of_litert(model: Model) -> None:
    """An implementation that is not ours sees the same."""
    from ai_edge_litert import schema_py_generated as schema

    read = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(model.to_bytes())))
    assert read.version == 3
    subgraph = read.subgraphs[0]
    assert [t.name for t in subgraph.tensors] == [b"a", b"image", b"w", b"z", b"z_bias"]
    assert [list(t.shape) for t in subgraph.tensors][2] == [2, 3, 3, 3]
    first = subgraph.operators[0].builtinOptions
    assert (first.strideH, first.strideW, first.padding) == (1, 1, 0)
    assert len(read.buffers[0].data if read.buffers[0].data is not None else []) == 0
    assert read.signatureDefs[0].signatureKey == b"serving_default"


@pytest.mark.parametrize(
    "other",
    [
        conv("b", "x", "w", op="DepthwiseConv2dNative"),
        make("b", "AddV2", "x", "w"),
        make("b", "Identity", "w"),
    ],
)
def test_a_filter_in_two_layouts(other: Node) -> None:
    """It is written once for each; a cube of equal sides, where no shape tells them apart."""
    source = graph(
        placeholder("x", 3, 3, 3, 3),
        const("w", randn(RNG, 3, 3, 3, 3)),
        conv("a", "x", "w"),
        other,
    )
    ir = imported(source, "a", "b")
    image = randn(RNG, 3, 3, 3, 3)
    model = convert(source, output_arrays=["a", "b"])
    for got, want in zip(
        litert.run(model.to_bytes(), image), meaning(ir, {"x": image}), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-5, rtol=0)  # sums of 27 products


def test_constants_are_shared_by_shape_and_bytes() -> None:
    """One zero bias a size; equal bytes of another shape stay apart."""
    numbers = randn(RNG, 2, 3, 5)
    source = graph(
        placeholder("x", 1, 4, 4, 3),
        const("v", randn(RNG, 1, 1, 3, 16)),
        const("w", randn(RNG, 3, 3, 3, 16)),
        conv("a", "x", "v"),
        conv("b", "x", "w"),
        placeholder("y", 2, 3, 5),
        const("k", numbers),
        const("l", numbers.copy()),
        const("m", numbers.reshape(6, 5)),
        make("p", "AddV2", "y", "k"),
        make("q", "Mul", "p", "l"),
        placeholder("z", 6, 5),
        make("r", "AddV2", "z", "m"),
    )
    model = convert(source, output_arrays=["a", "b", "q", "r"]).tflite
    shapes = {t.name: [] if t.shape is None else list(t.shape) for t in model.subgraphs[0].tensors}
    assert set(shapes) == {*"abkmpqrvwxyz", "a_bias"}
    assert (shapes["k"], shapes["m"]) == ([2, 3, 5], [6, 5])


def test_constants_that_only_compare_equal_stay_apart() -> None:
    """Zeros of different sign are different bytes: 1/x tells them apart."""
    source = graph(
        placeholder("x", 16),
        const("k", np.zeros(16, np.float32)),
        const("l", np.full(16, -0.0, np.float32)),
        make("a", "RealDiv", "x", "k"),
        make("b", "RealDiv", "x", "l"),
    )
    one = np.ones(16, np.float32)
    positive, negative = litert.run(convert(source, output_arrays=["a", "b"]).to_bytes(), one)
    assert (positive > 1e38).all()
    assert (negative < -1e38).all()


def test_a_filter_of_two_convolutions_of_one_kind_is_written_once() -> None:
    """They agree about its layout."""
    source = graph(
        placeholder("x", 1, 3, 3, 3),
        const("w", randn(RNG, 3, 3, 3, 3)),
        conv("a", "x", "w"),
        conv("b", "a", "w"),
    )
    model = convert(source, output_arrays=["b"]).tflite
    assert [t.name for t in model.subgraphs[0].tensors].count("w") == 1


def test_what_has_no_counterpart() -> None:
    """A kind that the passes should have replaced is named."""
    source = graph(placeholder("x", 1, 3), make("y", "Squeeze", "x"))
    with pytest.raises(UnsupportedOpError, match="squeeze 'y' cannot be written"):
        emit(imported(source, "y"), "")


def test_element_types_without_a_counterpart() -> None:
    """They are named with the tensor."""
    ir = compiler_ir.Graph()
    ir.outputs.append(ir.constant("c", np.zeros(1, np.complex64)))
    with pytest.raises(GraphError, match="'c': TensorFlow Lite has no element type complex64"):
        emit(ir, "")


def test_more_than_a_file_can_hold() -> None:
    """Refused before anything that size is made."""
    ir = compiler_ir.Graph()
    large = np.broadcast_to(np.float32(0), (2**28,))
    ir.outputs += [ir.constant("a", large), ir.constant("b", large)]
    with pytest.raises(GraphError, match="the constants take 2147483648 bytes"):
        emit(ir, "")


def test_shapes_known_only_at_run_time(tiny_model: Model) -> None:
    """The four outputs of the custom operator have empty shapes, as in TOCO's files."""
    subgraph = tiny_model.tflite.subgraphs[0]
    for number in tflite.indices(subgraph.outputs):
        shape = subgraph.tensors[number].shape
        assert shape is not None
        assert shape.size == 0


def test_metadata_is_kept(small: Graph) -> None:
    """Named bytes, each in a buffer of its own."""
    model = emit(imported(small, "z"), "text", {"a": b"12", "b": b""})
    read = tflite.read_model(tflite.write_model(model))
    assert read.description == "text"
    assert [item.name for item in read.metadata] == ["a", "b"]
    data = read.buffers[read.metadata[0].buffer].data
    assert data is not None
    assert data.tobytes() == b"12"


def test_a_scalar_result(rng: np.random.Generator) -> None:
    """A squeeze of everything leaves one number without dimensions."""
    source = graph(placeholder("x", 1, 1), make("s", "Squeeze", "x"), make("y", "Relu", "s"))
    (got,) = litert.run(
        convert(source, output_arrays=["y"]).to_bytes(), np.full((1, 1), 3, np.float32)
    )
    assert got.shape == ()
    assert got == 3


def test_the_same_bytes_each_time(small: Graph, model: Model) -> None:
    """Nothing depends on the order of a set or the clock."""
    assert convert(small, output_arrays=["z", "a"]).to_bytes() == model.to_bytes()
