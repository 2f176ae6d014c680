"""The compiler's graph: edits keep values and operators in agreement; what does not is found."""

import numpy as np
import pytest

from flatshot.compiler.ir import Graph, Op, Value
from flatshot.errors import GraphError

FLOAT = np.dtype(np.float32)


def _chain() -> tuple[Graph, Value, Op, Op]:
    """X -> a -> b, with b the output."""
    graph = Graph()
    x = Value("x", (2,), FLOAT)
    graph.inputs.append(x)
    a = graph.add(Op("relu", "a", [x], {}), [Value("a", (2,), FLOAT)])
    b = graph.add(Op("relu6", "b", [a.output], {}), [Value("b", (2,), FLOAT)])
    graph.outputs.append(b.output)
    graph.verify()
    return graph, x, a, b


def test_values_and_operators_point_at_each_other() -> None:
    """References, not names."""
    _, x, a, b = _chain()
    assert x.producer is None
    assert a.output.producer is a
    assert a.output.users == {b: 1}
    assert repr(x) == "<x float32[2]>"
    assert repr(a) == "<relu a>"


def test_set_input_and_set_inputs() -> None:
    """Uses follow, also of a value that is read twice."""
    graph, x, a, b = _chain()
    graph.set_input(b, 0, x)
    graph.set_input(b, 1, x)
    assert a.output.users == {}
    assert x.users == {a: 1, b: 2}
    graph.set_inputs(b, [a.output])
    assert x.users == {a: 1}
    assert x.read_only_by(a)
    graph.verify()


def test_replace_uses_leaves_the_outputs() -> None:
    """Readers change, the list of outputs does not."""
    graph, x, a, b = _chain()
    graph.outputs.append(a.output)
    graph.replace_uses(a.output, x)
    assert b.inputs == [x]
    assert graph.outputs[1] is a.output


def test_absorb_keeps_the_later_name() -> None:
    """The earlier operator makes the later one's value."""
    graph, _, a, b = _chain()
    result = b.output
    graph.absorb(a, b)
    graph.verify()
    assert graph.ops == [a]
    assert a.output is result
    assert result.producer is a


def test_remove_refuses_what_is_in_use() -> None:
    """By a reader, or as an output of the graph."""
    graph, _, a, b = _chain()
    with pytest.raises(GraphError, match="'a' is still in use"):
        graph.remove(a)
    with pytest.raises(GraphError, match="'b' is still in use"):
        graph.remove(b)
    graph.outputs.clear()
    graph.remove(b)
    assert a.output.users == {}


def test_reorder() -> None:
    """The order is the caller's."""
    graph, x, a, b = _chain()
    last = graph.add(Op("relu", "c", [x], {}), [Value("c", (2,), FLOAT)])
    assert graph.ops == [a, b, last]
    graph.reorder([last, a, b])
    assert graph.ops == [last, a, b]
    graph.verify()


def test_fresh_names() -> None:
    """A name that is taken gets a number; each is given out once."""
    graph, *_ = _chain()
    assert graph.fresh_name("c") == "c"
    assert graph.fresh_name("c") == "c_1"
    assert graph.fresh_name("a") == "a_1"


def test_a_shape_that_is_not_known() -> None:
    """Asking for it is an error that names the value."""
    value = Value("v", None, FLOAT)
    with pytest.raises(GraphError, match="shape of 'v' is not known"):
        _ = value.dims


class TestVerify:
    """What `verify` finds."""

    def test_a_wrong_order(self) -> None:
        """A reader before the maker."""
        graph, *_ = _chain()
        graph.reorder(graph.ops[::-1])
        with pytest.raises(GraphError, match="'b' runs before 'a' is made"):
            graph.verify()

    def test_a_use_that_is_not_noted(self) -> None:
        """The value does not know its reader."""
        graph, x, _, _ = _chain()
        x.users.clear()
        with pytest.raises(GraphError, match="'x' does not know that 'a' uses it"):
            graph.verify()

    def test_a_wrong_producer(self) -> None:
        """The value names another maker."""
        graph, _, a, b = _chain()
        a.output.producer = b
        with pytest.raises(GraphError, match="'a' does not know that 'a' makes it"):
            graph.verify()

    def test_an_output_that_nothing_makes(self) -> None:
        """It is named."""
        graph, *_ = _chain()
        graph.outputs.append(Value("lost", (1,), FLOAT))
        with pytest.raises(GraphError, match="nothing makes the output 'lost'"):
            graph.verify()

    def test_two_values_of_one_name(self) -> None:
        """Names are the users' interface."""
        graph, x, *_ = _chain()
        op = Op("add", "c", [x, graph.constant("b", np.zeros(2, np.float32))], {})
        graph.add(op, [Value("c", (2,), FLOAT)])
        with pytest.raises(GraphError, match="several values are called 'b'"):
            graph.verify()
