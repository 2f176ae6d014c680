"""Building a frozen graph node by node, in the names and the order of TensorFlow.

A frozen variable is a constant under the variable's name, read through an identity called
`<name>/read`; an operation is named after the scope it is made in. Shapes are followed along.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.errors import ConfigError, GraphError
from flatshot.formats.checkpoint import Variables
from flatshot.formats.graphdef import FLOAT, Array, Attr, DataType, Graph, Node, Shape


@dataclass(frozen=True)
class Tensor:
    """A value in the graph that is being built: the name of its node, and its static shape."""

    name: str
    shape: tuple[int, ...]

    @property
    def depth(self) -> int:
        """The number of channels, the last dimension."""
        return self.shape[-1]


class GraphBuilder:
    """Collects the nodes of a graph, and what is wrong with the variables it asks for.

    Args:
        variables: the values of the model's variables; None builds the graph with zeros, to
            look at what a configuration makes.
        averaged: read trained variables from their moving averages
            (`<name>/ExponentialMovingAverage`).
        naming: what `variables` call a variable that networks ask for under TF-Slim's name.
    """

    def __init__(
        self,
        variables: Variables | None,
        *,
        averaged: bool = False,
        naming: Callable[[str], str] | None = None,
    ) -> None:
        self._variables = variables
        self._naming = naming
        self._averaged = averaged
        self._nodes: dict[str, Node] = {}
        self._scopes: set[str] = set()
        # What the checkpoint does not give, by the variable that asked for it.
        self._missing: dict[str, str] = {}
        self._mismatched: dict[str, str] = {}

    def unique(self, name: str) -> str:
        """`name`, or where it is taken the first free of `name_1`, `name_2` and so on.

        TensorFlow numbers scopes and operations alike; what is asked for here is taken from then
        on, whether it becomes a node or a scope.
        """
        free = name
        number = 0
        while free in self._nodes or free in self._scopes:
            number += 1
            free = f"{name}_{number}"
        self._scopes.add(free)
        return free

    def _put(self, node: Node) -> None:
        if node.name in self._nodes:
            raise GraphError(f"the graph that is built has a node {node.name!r} already")
        self._nodes[node.name] = node

    @property
    def by_name(self) -> Mapping[str, Node]:
        """What has been built, by name."""
        return self._nodes

    @property
    def nodes(self) -> list[Node]:
        """What has been built, in its order."""
        return list(self._nodes.values())

    def readers(self, name: str) -> list[Node]:
        """The nodes that read `name`, each once."""
        return [node for node in self._nodes.values() if name in node.inputs]

    def drop(self, name: str) -> None:
        """Take a node out; who reads it is redirected."""
        del self._nodes[name]

    def redirect(self, name: str, target: str, *, only: str = "", but: str = "") -> None:
        """Let who reads `name` read `target`: all nodes, one only, or all but one."""
        for node in [self._nodes[only]] if only else self.readers(name):
            if node.name != but:
                inputs = tuple(target if text == name else text for text in node.inputs)
                self._nodes[node.name] = Node(node.name, node.op, inputs, node.attrs)

    def add(
        self,
        op: str,
        name: str,
        inputs: Sequence[Tensor],
        shape: tuple[int, ...],
        attrs: dict[str, Attr] | None = None,
    ) -> Tensor:
        """Append a node of float output; the value that it makes."""
        node_attrs = {**FLOAT, **(attrs or {})}
        self._put(Node(name, op, tuple(tensor.name for tensor in inputs), node_attrs))
        return Tensor(name, shape)

    def placeholder(
        self, name: str, shape: tuple[int, ...], attrs: dict[str, Attr] | None = None
    ) -> Tensor:
        """The input of the graph."""
        known: dict[str, Attr] = {"dtype": DataType.DT_FLOAT, "shape": Shape(shape)}
        self._put(Node(name, "Placeholder", (), known | (attrs or {})))
        return Tensor(name, shape)

    def constant(self, name: str, value: Array) -> Tensor:
        """A constant of float32 or int32."""
        kind = DataType.DT_FLOAT if value.dtype == np.float32 else DataType.DT_INT32
        self._put(Node(name, "Const", (), {"dtype": kind, "value": value}))
        return Tensor(name, value.shape)

    def variable(self, name: str, shape: tuple[int, ...], *, trained: bool = True) -> Tensor:
        """A frozen variable, as its reader sees it; whoever asks again gets the same.

        One that the checkpoint lacks, or has in another shape, is remembered: `finish` reports all
        of them together.

        Raises:
            GraphError: it was asked for before in another shape.
        """
        reader = f"{name}/read"
        if reader in self._nodes:
            known = self._nodes[name].attrs["value"]
            if not isinstance(known, np.ndarray) or known.shape != shape:
                raise GraphError(f"the variable {name!r} is shared in two shapes")
            return Tensor(reader, shape)
        self.constant(name, self._read(name, shape, trained=trained))
        location = f"loc:@{name}".encode()
        return self.add("Identity", reader, [Tensor(name, shape)], shape, {"_class": [location]})

    def value(self, name: str, shape: tuple[int, ...]) -> Array:
        """The value of a variable of which constants are made; else as `variable`."""
        return self._read(name, shape, trained=True)

    def _read(self, variable: str, shape: tuple[int, ...], *, trained: bool) -> Array:
        zeros: Array = np.broadcast_to(np.float32(0), shape)
        if self._variables is None:
            return zeros
        name = f"{variable}/ExponentialMovingAverage" if self._averaged and trained else variable
        if self._naming is not None:
            name = self._naming(name)
        if name not in self._variables:
            self._missing[variable] = name
            return zeros
        value = self._variables.read(name)
        if value.shape != shape:
            self._mismatched[variable] = f"{name} is {list(value.shape)}, not {list(shape)}"
        elif value.dtype.kind != "f":
            self._mismatched[variable] = f"{name} is {value.dtype}, not float32"
        else:
            return value.astype(np.float32, copy=False)
        return zeros

    def finish(self, outputs: Sequence[str]) -> Graph:
        """The graph of what `outputs` (names of nodes) need, in the order it was built.

        A variable that nothing needs may be missing: networks have tails that no feature map reads.

        Raises:
            ConfigError: the checkpoint lacks variables, or has them in other shapes; or there is no
                node of a name in `outputs`.
        """
        unknown = [name for name in outputs if name not in self._nodes]
        needed: set[str] = set()
        waiting = [name for name in outputs if name in self._nodes]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting += self._nodes[name].inputs
        self._report(needed)
        if unknown:
            raise ConfigError(f"the graph has no node {unknown[0]!r} to keep as an output")
        return Graph(tuple(node for node in self._nodes.values() if node.name in needed))

    def _has_plain(self, needed: set[str]) -> bool:
        """Whether the variables that are missing are there once averages are not asked for."""
        assert self._variables is not None
        names = (name for name in self._missing if name in needed)
        return all((self._naming(n) if self._naming else n) in self._variables for n in names)

    def _report(self, needed: set[str]) -> None:
        problems = []
        missing = [text for name, text in self._missing.items() if name in needed]
        if self._averaged and missing and self._has_plain(needed):
            raise ConfigError(
                f"the checkpoint has no {_first(missing)}: let eval_config.use_moving_averages be "
                "false (--nouse_moving_averages) to take the plain weights"
            )
        if missing:
            problems.append(f"the checkpoint lacks {_first(missing)}")
        if mismatched := [text for name, text in self._mismatched.items() if name in needed]:
            problems.append(f"in the checkpoint {_first(mismatched)}")
        if problems:
            raise ConfigError(
                "checkpoint and pipeline.config do not fit: "
                + "; ".join(problems)
                + "; check feature_extractor, depth_multiplier, num_classes and box_predictor"
            )


def _first(names: list[str], limit: int = 3) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def same_size(size: int, stride: int) -> int:
    """The output size of a SAME-padded convolution along one dimension: ceil(size / stride)."""
    return math.ceil(size / stride)


def valid_size(size: int, kernel: int, stride: int) -> int:
    """The output size of an unpadded convolution along one dimension.

    Raises:
        ConfigError: the image is smaller than the kernel.
    """
    if size < kernel:
        raise ConfigError(
            f"a feature map of {size} pixels is smaller than a kernel of {kernel}: choose a larger "
            "fixed_shape_resizer"
        )
    return (size - kernel) // stride + 1
