"""Building a frozen graph: names, order, and what is said about variables that do not fit."""

import numpy as np
import pytest

from flatshot.errors import ConfigError, GraphError
from flatshot.formats.graphdef import DataType, Shape
from flatshot.models.builder import GraphBuilder, Tensor, same_size, valid_size
from tests.models.configs import Values


def test_a_variable_is_a_constant_and_its_reader() -> None:
    """As freezing leaves it, colocation attribute included."""
    builder = GraphBuilder(Values({"a/w": (2, 3)}))
    tensor = builder.variable("a/w", (2, 3))
    graph = builder.finish([tensor.name])
    assert tensor == Tensor("a/w/read", (2, 3))
    constant, reader = graph.nodes
    assert (constant.name, constant.op, reader.op) == ("a/w", "Const", "Identity")
    assert reader.inputs == ("a/w",)
    assert reader.attrs == {"T": DataType.DT_FLOAT, "_class": [b"loc:@a/w"]}


def test_shapes_and_types_of_sources() -> None:
    """A placeholder knows its shape, a constant its element type."""
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1, 4, 5, 3))
    axis = builder.constant("axis", np.array(1, np.int32))
    builder.add("ConcatV2", "y", [image, image, axis], (1, 8, 5, 3), {"N": 2})
    graph = builder.finish(["y"])
    assert image.depth == 3
    assert graph.by_name["image"].attrs["shape"] == Shape((1, 4, 5, 3))
    assert graph.by_name["axis"].attrs["dtype"] == DataType.DT_INT32
    assert graph.by_name["y"].attrs == {"T": DataType.DT_FLOAT, "N": 2}


def test_only_what_outputs_need_is_kept_in_the_order_it_was_built() -> None:
    """Loose ends go."""
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1,))
    builder.add("Relu", "loose", [image], (1,))
    kept = builder.add("Relu6", "kept", [image], (1,))
    builder.add("Identity", "y", [kept], (1,))
    assert [node.name for node in builder.finish(["y"])] == ["image", "kept", "y"]


def test_an_output_that_is_not_there_is_named() -> None:
    """Additional outputs are typed by hand."""
    with pytest.raises(ConfigError, match="no node 'nowhere' to keep"):
        GraphBuilder(None).finish(["nowhere"])


def test_all_missing_and_mismatched_variables_are_reported_together() -> None:
    """Three of each by name, the rest counted, and what to look at."""
    shapes = {"shape": (2,), "int": (2,)}
    builder = GraphBuilder(Values(shapes, int=np.zeros(2, np.int64)))
    names = [builder.variable(f"missing{number}", (1,)).name for number in range(5)]
    names += [builder.variable("shape", (3,)).name, builder.variable("int", (2,)).name]
    with pytest.raises(ConfigError) as caught:
        builder.finish(names)
    message = str(caught.value)
    assert "lacks missing0, missing1, missing2 and 2 more;" in message
    assert "shape is [2], not [3], int is int64, not float32" in message
    assert "check feature_extractor, depth_multiplier, num_classes and box_predictor" in message


def test_what_no_output_needs_may_be_missing() -> None:
    """Networks have tails that no feature map reads."""
    builder = GraphBuilder(Values({"used": (2,)}))
    used = builder.variable("used", (2,))
    builder.variable("tail", (3,))
    assert [node.name for node in builder.finish([used.name])] == ["used", "used/read"]


def test_a_taken_name_is_an_error() -> None:
    """Whatever kind of node has it."""
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1,))
    builder.constant("one", np.ones(1, np.float32))
    for name in ("image", "one"):
        with pytest.raises(GraphError, match=f"has a node '{name}' already"):
            builder.add("Relu", name, [image], (1,))
    with pytest.raises(GraphError, match="has a node 'one' already"):
        builder.constant("one", np.zeros(1, np.float32))


def test_the_next_free_name() -> None:
    """Nodes and scopes are numbered alike."""
    builder = GraphBuilder(None)
    image = builder.placeholder("pad", (1,))
    assert builder.unique("pad") == "pad_1"
    assert builder.unique("pad") == "pad_2"
    assert builder.unique("scope") == "scope"
    builder.add("Relu", "pad_3", [image], (1,))
    assert builder.unique("pad") == "pad_4"


def test_a_shared_variable_is_read_once() -> None:
    """Whoever asks again gets the same node; another shape is a mistake."""
    builder = GraphBuilder(Values({"w": (2,)}))
    first, second = builder.variable("w", (2,)), builder.variable("w", (2,))
    assert first == second
    assert len(builder.finish([first.name]).nodes) == 2
    with pytest.raises(GraphError, match="'w' is shared in two shapes"):
        builder.variable("w", (3,))


def test_half_and_double_precision_become_float32() -> None:
    """A checkpoint may hold either."""
    values = Values({}, half=np.full(2, 0.5, np.float16), double=np.full(2, 0.25))
    builder = GraphBuilder(values)
    names = [builder.variable(name, (2,)).name for name in ("half", "double")]
    for node in builder.finish(names):
        value = node.attrs.get("value")
        if isinstance(value, np.ndarray):
            assert value.dtype == np.float32


def test_moving_averages_of_trained_variables() -> None:
    """The shadow is read under the plain name; moving statistics have none."""
    shadow = "w/ExponentialMovingAverage"
    builder = GraphBuilder(Values({"w": (2,), shadow: (2,), "mean": (2,)}), averaged=True)
    names = [
        builder.variable("w", (2,)).name,
        builder.variable("mean", (2,), trained=False).name,
    ]
    graph = builder.finish(names)
    plain = Values({"w": (2,), shadow: (2,), "mean": (2,)})
    for name, stored in (("w", shadow), ("mean", "mean")):
        np.testing.assert_array_equal(graph.by_name[name].attrs["value"], plain.read(stored))


def test_without_variables_there_are_zeros() -> None:
    """To look at what a configuration makes, no weights are needed and no memory is taken."""
    builder = GraphBuilder(None)
    name = builder.variable("w", (1000, 1000, 1000)).name
    value = builder.finish([name]).by_name["w"].attrs["value"]
    assert isinstance(value, np.ndarray)
    assert value.strides == (0, 0, 0)


def test_valid_size() -> None:
    """As many whole steps as there are; an image smaller than the kernel is refused."""
    assert [valid_size(size, 3, 2) for size in (3, 4, 5, 299)] == [1, 1, 2, 149]
    with pytest.raises(ConfigError, match="2 pixels is smaller than a kernel of 3"):
        valid_size(2, 3, 1)


@pytest.mark.parametrize(("size", "stride", "want"), [(300, 2, 150), (75, 2, 38), (3, 1, 3)])
def test_same_size(size: int, stride: int, want: int) -> None:
    """The quotient, rounded up."""
    assert same_size(size, stride) == want
