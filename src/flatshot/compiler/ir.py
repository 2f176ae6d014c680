"""The compiler's graph: values and operators that point at each other, no indices and no names.

A `Value` knows who makes it and who uses it; an `Op` knows its inputs and outputs; a `Graph` keeps
the operators in an order in which they can run. Constants never change: a pass makes new ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import GraphError
from flatshot.formats.graphdef import Array

Dims = tuple[int, ...]


@dataclass(frozen=True)
class Range:
    """The least and the largest real number of a tensor that quantisation shall keep.

    Attributes:
        low: the least.
        high: the largest.
        narrow: whether the lowest integer is left out, so that zero lies in the middle.
    """

    low: float
    high: float
    narrow: bool = False


@dataclass(frozen=True, eq=False)
class Quantization:
    """How the integers of a tensor stand for real numbers: `(q - zero_point) * scale`.

    Attributes:
        scale: one number, or one for each channel; kept in double, written in float32.
        zero_point: as many.
        axis: the dimension of the channels, as TensorFlow Lite lays the tensor; 0 for one number.
    """

    scale: npt.NDArray[np.float64]
    zero_point: npt.NDArray[np.int64]
    axis: int = 0

    @classmethod
    def whole(cls, scale: float, zero_point: int) -> "Quantization":
        """One scale and zero point for the whole tensor."""
        return cls(np.array([scale], np.float64), np.array([zero_point], np.int64))

    def equals(self, other: "Quantization | None") -> bool:
        """Whether `other` says the same."""
        return (
            other is not None
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


class Value:
    """A tensor: an input of the graph, a constant (`data`), or the output of `producer`.

    `shape` is None where it is known only at run time; `users` are the operators that read it, with
    how often each does. `range` is what training or calibration found, None where nothing did;
    `quantization` is None for a tensor of real numbers.
    """

    def __init__(
        self, name: str, shape: Dims | None, dtype: np.dtype[Any], data: Array | None = None
    ) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.data = data
        self.range: Range | None = None
        self.quantization: Quantization | None = None
        self.producer: Op | None = None
        self.users: dict[Op, int] = {}

    def __repr__(self) -> str:
        kind = "constant " if self.data is not None else ""
        return f"<{kind}{self.name} {self.dtype}{list(self.shape) if self.shape else '[]'}>"

    @property
    def dims(self) -> Dims:
        """The shape, where an operator cannot do without.

        Raises:
            GraphError: it is not known.
        """
        if self.shape is None:
            raise GraphError(f"the shape of {self.name!r} is not known")
        return self.shape

    def read_only_by(self, op: "Op") -> bool:
        """Whether `op` reads it, once, and no other operator does."""
        return self.users == {op: 1}

    def add_user(self, op: "Op") -> None:
        """Note that `op` reads it once more."""
        self.users[op] = self.users.get(op, 0) + 1

    def drop_user(self, op: "Op") -> None:
        """Note that `op` reads it once less."""
        self.users[op] -= 1
        if not self.users[op]:
            del self.users[op]


class Op:
    """One operator: its kind (a key of the operator registry), values, and attributes by name."""

    def __init__(
        self, kind: str, name: str, inputs: Sequence[Value], attrs: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.name = name
        self.inputs = list(inputs)
        self.outputs: list[Value] = []
        self.attrs = dict(attrs)
        for value in inputs:
            value.add_user(self)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    @property
    def output(self) -> Value:
        """The first output."""
        return self.outputs[0]


class Graph:
    """Operators in an order in which they can run, with the graph's inputs and outputs."""

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self._ops: dict[Op, None] = {}
        self._taken: set[str] = set()
        self.grown = 0  # bytes by which folding has made constants larger

    @property
    def ops(self) -> list[Op]:
        """The operators in their order: a list of its own, safe while the graph is edited."""
        return list(self._ops)

    def add(self, op: Op, outputs: Iterable[Value]) -> Op:
        """Put `op` at the end; it makes `outputs`."""
        for value in outputs:
            value.producer = op
            op.outputs.append(value)
        self._ops[op] = None
        return op

    def reorder(self, ops: Sequence[Op]) -> None:
        """Put the operators into another order: `ops` are those of the graph."""
        assert len(ops) == len(self._ops)
        self._ops = {op: None for op in ops if op in self._ops}

    def constant(self, name: str, data: Array) -> Value:
        """A new constant; for the name of one that there was not before see `fresh_name`."""
        return Value(name, data.shape, data.dtype, data)

    def fresh_name(self, wanted: str) -> str:
        """`wanted`, or where a value is or was called so, `wanted_1` and so on."""
        if not self._taken:
            self._taken = {value.name for value in self.values()}
        name, number = wanted, 0
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def set_input(self, op: Op, index: int, value: Value) -> None:
        """Let `op` read `value` as its input number `index`, which may be one past the last."""
        if index < len(op.inputs):
            op.inputs[index].drop_user(op)
            op.inputs[index] = value
        else:
            op.inputs.append(value)
        value.add_user(op)

    def set_inputs(self, op: Op, values: Sequence[Value]) -> None:
        """Let `op` read `values` and nothing else."""
        for value in op.inputs:
            value.drop_user(op)
        op.inputs = list(values)
        for value in values:
            value.add_user(op)

    def replace_uses(self, old: Value, new: Value) -> None:
        """Let whoever reads `old` read `new`; the outputs of the graph are left as they are."""
        for op in list(old.users):
            for index, value in enumerate(op.inputs):
                if value is old:
                    self.set_input(op, index, new)

    def absorb(self, op: Op, later: Op) -> None:
        """Let `op` make what `later`, the only reader of its output, makes; `later` goes.

        The later name survives: names of tensors are the users' interface. So does a range: the
        later one, or where only the earlier value has one, that.
        """
        for value, earlier in zip(later.outputs, op.outputs, strict=False):
            value.range = value.range or earlier.range
        op.outputs = later.outputs
        for value in op.outputs:
            value.producer = op
        later.outputs = []
        self._unlink(later)

    def remove(self, op: Op) -> None:
        """Take `op` out.

        Raises:
            GraphError: something still uses what it makes.
        """
        for value in op.outputs:
            if value.users or value in self.outputs:
                raise GraphError(f"{op.name!r} is still in use")
        self._unlink(op)

    def _unlink(self, op: Op) -> None:
        for value in op.inputs:
            value.drop_user(op)
        del self._ops[op]

    def is_output(self, value: Value) -> bool:
        """Whether `value` is an output of the graph."""
        return any(value is output for output in self.outputs)

    def values(self) -> list[Value]:
        """Every value once: the graph's inputs, then those of the operators in their order."""
        found: dict[int, Value] = {id(value): value for value in self.inputs}
        for op in self._ops:
            for value in [*op.inputs, *op.outputs]:
                found.setdefault(id(value), value)
        for value in self.outputs:
            found.setdefault(id(value), value)
        return list(found.values())

    def verify(self) -> None:
        """Check that values and operators agree about each other and that the order can run.

        Raises:
            GraphError: they do not; that is a bug in the pass that ran last.
        """
        made = {id(value) for value in self.inputs}
        for op in self._ops:
            for value in op.inputs:
                if value.data is None and id(value) not in made:
                    raise GraphError(f"{op.name!r} runs before {value.name!r} is made")
                if op not in value.users:
                    raise GraphError(f"{value.name!r} does not know that {op.name!r} uses it")
            for value in op.outputs:
                if value.producer is not op:
                    raise GraphError(f"{value.name!r} does not know that {op.name!r} makes it")
                made.add(id(value))
        for value in self.outputs:
            if value.data is None and id(value) not in made:
                raise GraphError(f"nothing makes the output {value.name!r}")
        names = Counter(value.name for value in self.values())
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise GraphError(f"several values are called {twice[0]!r}")
