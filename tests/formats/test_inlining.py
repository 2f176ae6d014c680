"""Functions written out: the graph that comes gives the numbers that the functions give."""

import time
from dataclasses import replace

import numpy as np
import pytest

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.rewriting import rewrite
from flatshot.errors import FlatshotError, GraphError, UnsupportedError
from flatshot.formats.graphdef import Call, Function, Graph, Node, read_binary
from flatshot.formats.graphdef_reading import messages
from flatshot.formats.inlining import MAX_NODES, inline, inline_call
from tests.compiler.graphs import const
from tests.compiler.graphs import node as make

ONE = const("one", np.float32(1))


def _call(name: str, function: str, *inputs: str) -> Node:
    return make(name, "StatefulPartitionedCall", *inputs, f=Call(function))


def _graph(*nodes: Node, **library: Function) -> Graph:
    return Graph(nodes, library)


# a + b, and b alone; inside, a call of another one.
ADD = Function(("a", "b"), (make("sum", "AddV2", "a", "b"),), ("sum:z:0", "b"))
TWICE = Function(
    ("x",),
    (make("last", "Identity", "both:output:0"), _call("both", "add", "x", "x", "^last")),
    ("last:output:0", "both:output:1"),
)


def _value(graph: Graph, tensor: str) -> float:
    data = Evaluation(graph, {}).value(tensor).data
    assert data is not None
    return float(data.reshape(()))


def test_calls_in_calls_are_written_out() -> None:
    """Under names of their own, whatever the order of the nodes in a body."""
    graph = inline(
        _graph(
            make("end", "AddV2", "outer", "outer:1"),
            _call("outer", "twice", "one"),
            _call("again", "twice", "outer"),
            make("end2", "Identity", "again"),
            ONE,
            add=ADD,
            twice=TWICE,
        )
    )
    assert not any(node.op == "StatefulPartitionedCall" for node in graph)
    assert (_value(graph, "end"), _value(graph, "end2")) == (3, 4)
    assert {"outer/last", "outer/both/sum", "again/last"} <= set(graph.by_name)


def test_only_what_outputs_need_is_written_out() -> None:
    """Each output ends in a node of its name; a call that nothing needs may be of anything."""
    source = _graph(
        _call("outer", "twice", "one"), _call("lost", "nowhere"), ONE, add=ADD, twice=TWICE
    )
    graph = inline(source, {"result": "outer:0"})
    assert _value(graph, "result") == 2
    with pytest.raises(UnsupportedError, match="'lost' calls the function 'nowhere'"):
        inline(source)


def test_a_graph_without_calls_stays() -> None:
    """As the object that it is."""
    graph = Graph((ONE, make("end", "Identity", "one")), {"add": ADD})
    assert inline(graph) is graph


def test_outputs_are_counted_through_their_names() -> None:
    """Operators whose outputs have names of their own."""
    split = Function(
        ("x",),
        (
            const("k", 2),
            make("top", "TopKV2", "x", "k"),
            make("parts", "Unpack", "top:indices:0", num=2, axis=0),
        ),
        ("top:values:0", "top:indices:0", "parts:output:1"),
    )
    values = const("x", np.array([1, 3, 2], np.float32))
    graph = inline(
        _graph(
            values,
            _call("call", "split", "x"),
            make("a", "Identity", "call"),
            make("b", "Identity", "call:1"),
            make("c", "Identity", "call:2"),
            split=split,
        )
    )
    inputs = [graph.by_name[name].inputs for name in "abc"]
    assert inputs == [("call/top",), ("call/top:1",), ("call/parts:1",)]


def test_a_function_may_stand_for_an_operator() -> None:
    """It becomes the operator, with the attributes it names, and its body is not looked at."""
    stand_in = Function(("x",), (), ("gone:output:0", "gone:output:1"), Call("Custom", {"k": 3}))
    graph = inline(
        _graph(ONE, _call("call", "f", "one"), make("end", "Identity", "call:1"), f=stand_in)
    )
    custom = graph.by_name["call"]
    assert (custom.op, custom.inputs, dict(custom.attrs)) == ("Custom", ("one",), {"k": 3})
    assert graph.by_name["end"].inputs == ("call:1",)


@pytest.mark.parametrize(("condition", "expected"), [(True, 2.0), (False, 11.0)])
def test_a_branch(condition: bool, expected: float) -> None:
    """As Switch and Merge; one that a constant decides goes."""
    ten = const("ten", np.float32(10))
    branches = {
        "yes": Function(("x",), (make("y", "AddV2", "x", "x"),), ("y:z:0",)),
        "no": Function(("x",), (ten, make("y", "AddV2", "x", "ten:output:0")), ("y:z:0",)),
    }
    choice = make(
        "choice", "StatelessIf", "p", "one", then_branch=Call("yes"), else_branch=Call("no")
    )
    nodes = (ONE, const("p", np.array(condition)), choice, make("end", "Identity", "choice"))
    graph = inline(Graph(nodes, branches))
    assert _value(rewrite(graph), "end") == expected


def test_a_loop_is_that_of_tensorflow_1() -> None:
    """Enter, Merge, Switch, NextIteration and Exit for each of its variables."""
    limit = const("limit", np.float32(9))
    library = {
        "cond": Function(
            ("i", "x"), (limit, make("go", "Less", "i", "limit:output:0")), ("go:z:0",)
        ),
        "body": Function(("i", "x"), (make("more", "AddV2", "x", "i"),), ("i", "more:z:0")),
    }
    loop = make("loop", "StatelessWhile", "one", "one", cond=Call("cond"), body=Call("body"))
    graph = inline(Graph((ONE, loop, make("end", "Identity", "loop:1")), library))
    assert graph.by_name["end"].inputs == ("loop/Exit_1",)
    assert graph.by_name["loop/body/more"].inputs == ("loop/Switch_1:1", "loop/Switch_0:1")
    assert graph.by_name["loop/Merge_1"].inputs == ("loop/Enter_1", "loop/NextIteration_1")
    assert graph.by_name["loop/NextIteration_0"].inputs == ("loop/Switch_0:1",)
    assert graph.by_name["loop/cond/go"].inputs == ("loop/Merge_0", "loop/cond/limit")


def test_all_that_a_call_does_can_be_written_out() -> None:
    """A saver's assignments, which nothing reads."""
    saver = Function(("x",), (make("assign", "AssignVariableOp", "x", "x"),), ())
    graph = inline_call(_graph(ONE, _call("restore", "saver", "one"), saver=saver), "restore")
    assert graph.by_name["restore/assign"].inputs == ("one", "one")


def _doubling(depth: int) -> dict[str, Function]:
    """Functions that call the next one twice: 2 ** depth nodes of the last."""
    library = {
        f"f{k}": Function(
            ("x",),
            (_call("a", f"f{k + 1}", "x"), _call("b", f"f{k + 1}", "a:output:0")),
            ("b:output:0",),
        )
        for k in range(depth)
    }
    return {**library, f"f{depth}": ADD}


def _chain(depth: int) -> dict[str, Function]:
    library = {
        f"f{k}": Function(("x",), (_call("a", f"f{k + 1}", "x"),), ("a:output:0",))
        for k in range(depth)
    }
    return {**library, f"f{depth}": Function(("x",), (), ("x",))}


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        (
            {"f0": Function(("x",), (_call("a", "f0", "x"),), ("a:output:0",))},
            "'f0' calls itself",
        ),
        (
            {
                "f0": Function(("x",), (_call("a", "g", "x"),), ("a:output:0",)),
                "g": Function(("x",), (_call("a", "f0", "x"),), ("a:output:0",)),
            },
            "'f0' calls itself",
        ),
        (_doubling(40), f"more than {MAX_NODES} nodes|is given 1"),
        (_chain(5000), "functions call each other"),
        ({"f0": ADD}, "2 arguments is given 1"),
        ({"f0": Function(("x",), (), ("gone:output:0",))}, "reads 'gone'"),
        ({"f0": Function(("x",), (make("n", "Op", "n:y:0"),), ("n:y:0",))}, "cycle"),
        ({"f0": Function(("x",), (ONE, ONE), ("one:output:0",))}, "one name"),
        ({"f0": Function(("x",), (), ())}, "more than the 0 results"),
    ],
)
def test_functions_that_cannot_be_are_refused(library: dict[str, Function], reason: str) -> None:
    """In bounded time, whatever they call."""
    started = time.perf_counter()
    with pytest.raises(FlatshotError, match=reason):
        inline(Graph((ONE, _call("call", "f0", "one"), make("end", "Identity", "call")), library))
    assert time.perf_counter() - started < 30


def test_millions_of_nodes_are_refused() -> None:
    """A kilobyte of functions that call each other twice."""
    wide = {**_doubling(25), "f25": Function(("x",), (make("n", "Neg", "x"),), ("n:y:0",))}
    with pytest.raises(GraphError, match=f"more than {MAX_NODES} nodes"):
        inline(Graph((ONE, _call("call", "f0", "one"), make("end", "Identity", "call")), wide))


def test_functions_of_a_file_are_read() -> None:
    """With their arguments, results and what they implement; the rest of the library is not."""
    message = messages()["GraphDef"]()
    message.node.add(name="call", op="PartitionedCall").attr["f"].func.name = "good"
    function = messages()["FunctionDef"]()
    function.signature.name = "good"
    function.signature.input_arg.add(name="x")
    function.signature.output_arg.add(name="y")
    function.node_def.add(name="n", op="Neg", input=["x"])
    function.ret["y"] = "n:y:0"
    function.attr["_implements"].func.name = "Custom"
    function.attr["_implements"].func.attr["k"].i = 3
    message.library.function.append(function.SerializeToString())
    function.signature.name = "bad"
    function.ret.clear()
    message.library.function.append(function.SerializeToString())
    graph = read_binary(message.SerializeToString())
    assert graph.by_name["call"].attrs["f"] == Call("good")
    assert set(graph.library) == {"good", "bad"}
    good = graph.library["good"]
    assert (good.arguments, good.results) == (("x",), ("n:y:0",))
    assert good.nodes[0].inputs == ("x",)
    assert good.implements == Call("Custom", {"k": 3})
    with pytest.raises(FlatshotError, match="function 'bad', it does not say what its result 'y'"):
        graph.library["bad"]
    call = replace(graph.by_name["call"], inputs=("call",))
    with pytest.raises(GraphError, match="cycle"):
        inline(Graph((call,), graph.library))
