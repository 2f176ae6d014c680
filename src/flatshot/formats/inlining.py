"""Graphs whose nodes are kept in functions -> graphs of nodes alone.

TensorFlow 2 keeps a model as functions that call each other, and loops and branches as operators
that name functions. What they stand for is written out here: calls as the nodes of the function,
loops and branches in the operators that TensorFlow 1 had for them (Enter, Merge, Switch,
NextIteration, Exit), as TensorFlow itself lowers them before it runs a graph. Sources:
`tensorflow/core/common_runtime/{inline_function_utils,lower_while_op,lower_if_op}.cc`.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flatshot.errors import FormatError, GraphError, UnsupportedError
from flatshot.formats.graphdef import Call, Function, Graph, Node, TensorName, parse_tensor
from flatshot.formats.order import sort_nodes

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_BRANCHES = ("If", "StatelessIf")
# Hands on each of its inputs: where a function has a gradient of its own.
_TUPLES = ("IdentityN",)
FUNCTIONAL = (*_CALLS, *_LOOPS, *_BRANCHES)
"""Operators that do what functions say."""

# Where functions count an operator's outputs by the names of several arguments, how those lie
# among all outputs; of other operators the one argument has them all.
_PORTS: Mapping[str, tuple[str, ...]] = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormV2": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormV3": ("y", "batch_mean", "batch_variance"),
    "NonMaxSuppressionV4": ("selected_indices", "valid_outputs"),
    "NonMaxSuppressionV5": ("selected_indices", "selected_scores", "valid_outputs"),
    "CombinedNonMaxSuppression": (
        *("nmsed_boxes", "nmsed_scores", "nmsed_classes", "valid_detections"),
    ),
    "TopK": ("values", "indices"),
    "TopKV2": ("values", "indices"),
    "Switch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
    "Unique": ("y", "idx"),
    "UniqueV2": ("y", "idx"),
    "Bucketize": ("output",),
    "SparseToDense": ("dense",),
}

# An EfficientDet has some ten thousand nodes. A few kilobytes of functions that call each other
# twice would make millions.
MAX_NODES = 2**17
# A call costs as much time as so many nodes, also where it makes none; detectors have thousands.
_CALL = 16
_MAX_EDGES = 2**21
_MAX_DEPTH = 100


def inline(graph: Graph, outputs: Mapping[str, str] | None = None) -> Graph:
    """`graph` without functions; one that calls none is returned as it is.

    A function that says which operator it implements becomes that operator.

    Args:
        graph: with the functions that it calls in its library.
        outputs: names for the tensors to keep; only what leads to these is written out then, and
            each ends in an Identity of its name. By default all nodes are kept.

    Raises:
        FormatError: a function is damaged.
        GraphError: functions call themselves, or make more than `MAX_NODES` nodes.
        UnsupportedError: a function that is called is not in the library.
    """
    if not any(_is_functional(node, graph) for node in graph):
        return graph
    inliner = _Inliner(graph.library)
    outputs = outputs or {}
    whole = Function((), graph.nodes, tuple(outputs.values()))
    results = inliner.expand(whole, _Place(), (), everything=not outputs)
    taken = {node.name for node in inliner.nodes}
    ends = [
        Node(name, "Identity", (result,))
        for name, result in zip(outputs, results, strict=True)
        if name not in taken
    ]
    return Graph((*inliner.nodes, *ends))


def inline_call(graph: Graph, name: str) -> Graph:
    """All that the call `name` does, whether something reads it or not: of a saver, for one."""
    call = graph.by_name.get(name)
    function = call.attrs.get("f") if call is not None else None
    if call is None or not isinstance(function, Call):
        raise FormatError(f"{name!r} calls no function")
    inliner = _Inliner(graph.library)
    inliner.expand(inliner.function(call, "f"), _Place(name), call.data_inputs, everything=True)
    sources = tuple(node for node in graph if node.name in call.sources)
    return Graph((*sources, *inliner.nodes))


def _is_functional(node: Node, graph: Graph) -> bool:
    return node.op in FUNCTIONAL or node.op in _TUPLES or node.op in graph.library


@dataclass(frozen=True)
class _Place:
    """Where a function is written out: the name of its call, and the functions around it."""

    name: str = ""
    around: tuple[str, ...] = ()

    def inside(self, name: str) -> str:
        return f"{self.name}/{name}" if self.name else name

    def enter(self, name: str, function: str) -> "_Place":
        if function in self.around:
            raise GraphError(f"the function {function!r} calls itself")
        if len(self.around) >= _MAX_DEPTH:
            raise GraphError(f"more than {_MAX_DEPTH} functions call each other")
        return _Place(name, (*self.around, function))


class _Body:
    """A function's body while it is written out: what its own names mean outside."""

    def __init__(self, function: Function, arguments: Sequence[str], place: _Place) -> None:
        if len(arguments) < len(function.arguments):
            raise GraphError(
                f"a function of {len(function.arguments)} arguments is given {len(arguments)}"
            )
        self.graph = Graph(function.nodes)
        if len(self.graph.by_name) < len(function.nodes):
            ((twice, _),) = Counter(node.name for node in function.nodes).most_common(1)
            raise FormatError(f"two nodes of a function have one name, {twice!r}")
        self._arguments = dict(zip(function.arguments, arguments, strict=False))
        self._results: dict[str, Sequence[str]] = {}
        self._names: dict[str, str] = {}
        self._place = place

    def put(self, node: str, outside: str | Sequence[str]) -> None:
        """Say what became of a node: its new name, or the tensors that it gives."""
        if isinstance(outside, str):
            self._names[node] = outside
        else:
            self._results[node] = outside

    def sources(self, node: Node) -> list[str]:
        """The nodes of the body that `node` reads."""
        names = [name for name in node.sources if name not in self._arguments]
        for name in names:
            if name not in self.graph.by_name:
                raise GraphError(f"node {node.name!r} reads {name!r}, which is not in the graph")
        return names

    def sources_before(self, node: Node) -> list[str]:
        """Those that must be written out before it: a loop comes back to its Merge."""
        names = self.sources(node)
        if node.op == "Merge":
            return [name for name in names if self.graph.by_name[name].op != "NextIteration"]
        return names

    def outside(self, text: str) -> str:
        """What the tensor `text` of the body is called outside."""
        name = parse_tensor(text)
        if name.node in self._arguments and not name.port:
            return self._arguments[name.node]
        number = _flat_number(self.graph.by_name[name.node], name)
        if name.node in self._results:
            results = self._results[name.node]
            if number >= len(results):
                raise GraphError(f"{text!r} is more than the {len(results)} results of its call")
            return results[number]
        # What a loop comes back from is written out later, under the name it has here.
        written = self._names.get(name.node, self._place.inside(name.node))
        return str(TensorName(written, number))


def _flat_number(node: Node, name: TensorName) -> int:
    """The number among all outputs of `node`."""
    ports = _PORTS.get(node.op, ())
    if name.port in ports:
        return ports.index(name.port) + name.number
    return name.number


class _Inliner:
    """Writes functions out, one after another, into `nodes`."""

    def __init__(self, library: Mapping[str, Function]) -> None:
        self.nodes: list[Node] = []
        self._library = library
        self._taken: set[str] = set()
        self._edges = 0
        self._count = 0

    def expand(
        self,
        function: Function,
        place: _Place,
        arguments: Sequence[str],
        *,
        everything: bool = False,
    ) -> tuple[str, ...]:
        """Write out what `function` needs for its results, or everything.

        Returns:
            The tensors that its results are.
        """
        body = _Body(function, arguments, place)
        results = Node("results", "", function.results)
        roots = [body.graph.by_name[name] for name in dict.fromkeys(body.sources(results))]
        for node in sort_nodes(
            body.graph, function.nodes if everything else roots, body.sources_before
        ):
            self._pay(node)
            inputs = tuple(body.outside(text) for text in node.data_inputs)
            body.put(node.name, self._write(node, place, inputs))
        return tuple(body.outside(text) for text in results.data_inputs)

    def function(self, node: Node, attribute: str) -> Function:
        """The function that an attribute of `node` names.

        Raises:
            UnsupportedError: it is not there.
        """
        name = self._named(node, attribute)
        if name in FUNCTIONAL:
            raise UnsupportedError(f"{node.op} {node.name!r} names no function ({attribute})")
        if name not in self._library:
            raise UnsupportedError(
                f"{node.op} {node.name!r} calls the function {name!r}, which is not in the file"
            )
        return self._library[name]

    def _pay(self, node: Node) -> None:
        self._count += _CALL if node.op in FUNCTIONAL or node.op in self._library else 1
        self._edges += len(node.inputs)
        if self._count > MAX_NODES or self._edges > _MAX_EDGES:
            raise GraphError(
                f"the functions make more than {MAX_NODES} nodes, many times those of a detector"
            )

    def _write(self, node: Node, place: _Place, inputs: tuple[str, ...]) -> str | Sequence[str]:
        """Write a node of a body out; its new name, or the tensors that it gives."""
        name = self._free(place.inside(node.name))
        if node.op in _TUPLES:
            return inputs
        if node.op in _CALLS or node.op in self._library:
            return self._call(node, self.function(node, "f"), place, name, inputs)
        if node.op in _LOOPS:
            return self._loop(node, place, name, inputs)
        if node.op in _BRANCHES:
            return self._branch(node, place, name, inputs)
        return self._add(name, node.op, inputs, node)

    def _add(self, name: str, op: str, inputs: Sequence[str], like: Node | None = None) -> str:
        self._taken.add(name)
        self.nodes.append(Node(name, op, tuple(inputs), like.attrs if like else {}))
        return name

    def _free(self, name: str) -> str:
        if name not in self._taken:
            return name
        number = next(n for n in itertools.count(1) if f"{name}_{n}" not in self._taken)
        return f"{name}_{number}"

    def _call(
        self, node: Node, function: Function, place: _Place, name: str, inputs: tuple[str, ...]
    ) -> Sequence[str]:
        if function.implements is not None:
            self._taken.add(name)
            self.nodes.append(
                Node(name, function.implements.name, inputs, function.implements.attrs)
            )
            return [str(TensorName(name, number)) for number in range(len(function.results))]
        return self.expand(function, place.enter(name, self._named(node, "f")), inputs)

    @staticmethod
    def _named(node: Node, attribute: str) -> str:
        call = node.attrs.get(attribute)
        return call.name if isinstance(call, Call) else node.op

    def _loop(self, node: Node, place: _Place, name: str, inputs: tuple[str, ...]) -> Sequence[str]:
        """A loop as Enter, Merge, Switch, NextIteration and Exit of each of its variables."""
        inside = place.enter(name, self._named(node, "body"))
        for _ in inputs:
            self._pay(node)
        entered = [self._add(f"{name}/Enter_{k}", "Enter", (x,)) for k, x in enumerate(inputs)]
        merged = [f"{name}/Merge_{k}" for k in range(len(inputs))]
        (going,) = self._results(node, "cond", 1, inside, merged)
        condition = self._add(f"{name}/LoopCond", "LoopCond", (going,))
        switched = [
            self._add(f"{name}/Switch_{k}", "Switch", (merge, condition))
            for k, merge in enumerate(merged)
        ]
        following = self._results(node, "body", len(inputs), inside, [f"{s}:1" for s in switched])
        for k, (enter, result) in enumerate(zip(entered, following, strict=True)):
            again = self._add(f"{name}/NextIteration_{k}", "NextIteration", (result,))
            self._add(merged[k], "Merge", (enter, again))
        return [self._add(f"{name}/Exit_{k}", "Exit", (s,)) for k, s in enumerate(switched)]

    def _branch(
        self, node: Node, place: _Place, name: str, inputs: tuple[str, ...]
    ) -> Sequence[str]:
        """A decision as a Switch of each input and a Merge of each result."""
        if not inputs:
            raise GraphError(f"{node.op} {node.name!r} has no condition")
        condition, *values = inputs
        switched = [
            self._add(f"{name}/Switch_{k}", "Switch", (value, condition))
            for k, value in enumerate(values)
        ]
        alternatives = []
        for branch, number in (("then_branch", 1), ("else_branch", 0)):
            inside = place.enter(f"{name}/{branch}", self._named(node, branch))
            given = [str(TensorName(switch, number)) for switch in switched]
            alternatives.append(self.expand(self.function(node, branch), inside, given))
        no, yes = alternatives[1], alternatives[0]
        if len(no) != len(yes):
            raise GraphError(f"the branches of {node.name!r} give {len(yes)} and {len(no)} results")
        return [
            self._add(f"{name}/Merge_{k}", "Merge", pair)
            for k, pair in enumerate(zip(no, yes, strict=True))
        ]

    def _results(
        self, node: Node, attribute: str, count: int, place: _Place, inputs: Sequence[str]
    ) -> tuple[str, ...]:
        """What a function of a loop gives, after its number has been checked."""
        inside = dataclasses.replace(place, name=f"{place.name}/{attribute}")
        results = self.expand(self.function(node, attribute), inside, inputs)
        if len(results) != count:
            raise GraphError(
                f"the {attribute} of {node.op} {node.name!r} gives {len(results)} results, "
                f"not {count}"
            )
        return results
