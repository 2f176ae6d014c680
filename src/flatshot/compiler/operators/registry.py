"""What an operator is to the compiler: one declaration from GraphDef to TensorFlow Lite."""

import contextlib
import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op, Value
from flatshot.errors import GraphError
from flatshot.formats.graphdef import Array, Attr, Node
from flatshot.formats.tflite import Activation, Builtin

# Element types by their names in NumPy.
FLOAT32 = frozenset({"float32"})
NUMBERS = FLOAT32 | {
    "float16",
    "float64",
    *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
}
ANY = NUMBERS | {"bool"}


class EightBits(enum.Enum):
    """Whether TensorFlow Lite has the operator in 8 bits, and what its result is quantised by."""

    NO = "it has none"
    OWN = "the range of the result"
    INPUT = "the parameters of the first input that is no index: elements are only handed on"
    UNIT = "scale 1/256 from 0: the kernel asks for it"
    SIGN = "scale 1/128 around 0: the kernel asks for it"


def eight_bit_version(number: int, before: int = 1) -> Callable[[Op], int]:
    """`number` for signed 8 bits, `before` for floats and unsigned ones."""
    return lambda op: number if is_int8(op) else before


def is_int8(op: Op) -> bool:
    """Whether the result of `op` are signed integers of 8 bits."""
    return op.outputs[0].dtype == np.int8


@dataclass(frozen=True)
class Operator:
    """One kind of operator.

    Attributes:
        kind: its name in the IR.
        tf: the GraphDef operators that it stands for.
        inputs: how many inputs it takes, least and most.
        elements: the element types that its inputs may have.
        alike: whether all its inputs must have one element type.
        attrs: from a node to the attributes of the IR operator; raises GraphError on what it
            cannot mean.
        shape: the shape of its output from the operator with its inputs; where there are several
            outputs they have one shape.
        outputs: how many outputs it has.
        element: the element type of its output.
        kernel: its meaning in NumPy, by which constants are folded; None where it is never folded.
            Of several outputs it gives one array whose first axis counts them.
        builtin: the TensorFlow Lite operator; None for a kind that the passes do away with.
        options: from the IR operator to the builtin's options.
        layout: from an input's position and constant value to the layout TensorFlow Lite wants.
        version: the lowest version of the builtin that does what the IR operator asks for, as
            TensorFlow's `op_version.cc` numbers them.
        channel_axis: the dimension of the output channels in its filter (input 1), as TensorFlow
            Lite lays it; None where it has no filter.
        eight_bits: whether it may run in 8 bits.
        indices: the inputs that are sizes, axes or bounds: TensorFlow Lite reads them as 32-bit
            integers, and they are never quantised.
    """

    kind: str
    tf: tuple[str, ...]
    inputs: tuple[int, int]
    shape: Callable[[Op], Dims]
    elements: frozenset[str] = ANY
    alike: bool = False
    attrs: Callable[[Node], dict[str, Any]] = lambda node: {}
    outputs: Callable[[Op], int] = lambda op: 1
    element: Callable[[Op], "np.dtype[Any]"] = lambda op: op.inputs[0].dtype
    kernel: Callable[..., Array] | None = None
    builtin: Builtin | None = None
    options: Callable[[Op], Any] = lambda op: None
    layout: Callable[[int, Array], Array] = lambda index, data: data
    version: Callable[[Op], int] = lambda op: 1
    channel_axis: int | None = None
    eight_bits: EightBits = EightBits.NO
    indices: tuple[int, ...] = ()


OPERATORS: dict[str, Operator] = {}
BY_TF_NAME: dict[str, Operator] = {}


def register(operator: Operator) -> Operator:
    """Make an operator known; a kind or a GraphDef name can be declared only once."""
    assert operator.kind not in OPERATORS, f"{operator.kind} is declared twice"
    OPERATORS[operator.kind] = operator
    for name in operator.tf:
        assert name not in BY_TF_NAME, f"{name} is declared twice"
        BY_TF_NAME[name] = operator
    return operator


def attr(node: Node, name: str, kind: type | tuple[type, ...], default: Attr | None = None) -> Any:
    """The attribute `name` of `node`, of type `kind`; `default` where the node has none.

    Raises:
        GraphError: it is missing without a default, or of another type.
    """
    value = node.attrs.get(name, default)
    if value is None or not isinstance(value, kind):
        shown = " ".join(f"{value!r}".split())  # arrays are printed in several lines
        problem = "is missing" if value is None else f"is {shown:.80}"
        raise GraphError(f"{node.op} {node.name!r}: attribute {name!r} {problem}")
    return value


def attr_text(node: Node, name: str, default: bytes | None = None) -> str:
    """The attribute `name` of `node`, a string; whatever bytes it has make one.

    Raises:
        GraphError: it is missing without a default, or of another type.
    """
    value: bytes = attr(node, name, bytes, default)
    return value.decode(errors="backslashreplace")


def require(node: Node, condition: bool, problem: str) -> None:
    """Raise GraphError naming `node` unless `condition` holds."""
    if not condition:
        raise GraphError(f"{node.op} {node.name!r}: {problem}")


# What Python and NumPy raise where shapes and attributes do not go together; the operators'
# declarations need not foresee all that a graph of a stranger's may hold.
_MISFITS = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)


@contextlib.contextmanager
def fitting(node: Node | Op) -> Iterator[None]:
    """Tell of an operator that cannot be, whatever the block stumbles over.

    Raises:
        GraphError: the block raised something else than an error of ours.
    """
    try:
        yield
    except _MISFITS as error:
        what = node.op if isinstance(node, Node) else node.kind
        raise GraphError(f"{what} {node.name!r} cannot be: {_told(error)}") from error


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def foretell(
    node: Node, operator: Operator, inputs: Sequence[Value]
) -> tuple[Op, Dims, "np.dtype[Any]", int]:
    """The IR operator that `node` stands for; shape, element type and number of its outputs.

    Raises:
        GraphError: shapes and attributes do not go together.
    """
    with fitting(node):
        op = Op(operator.kind, node.name, inputs, operator.attrs(node))
        return op, operator.shape(op), operator.element(op), operator.outputs(op)


def evaluate(op: Op, *inputs: Array) -> Array:
    """What `op` makes of the values of its inputs, its fused activation included.

    Raises:
        GraphError: its kind has no meaning in NumPy.
    """
    operator = OPERATORS.get(op.kind)
    if operator is None or operator.kernel is None:
        raise GraphError(f"{op.kind} {op.name!r} cannot be computed ahead of time")
    # An infinity is a value like any other at run time.
    with np.errstate(all="ignore"), fitting(op):
        result = operator.kernel(op, *inputs)
    activation = op.attrs.get("activation", Activation.NONE)
    if activation == Activation.RELU6:
        return np.clip(result, 0, 6)
    return np.maximum(result, 0) if activation == Activation.RELU else result
