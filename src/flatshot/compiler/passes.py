"""The passes: each one a function from a graph to the number of changes it made in it.

After each the graph is verified, and an inconsistency names the pass that left it.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from flatshot.compiler.factors import fold_factors_forward
from flatshot.compiler.ir import Graph, Op, Value
from flatshot.compiler.lowering import (
    fuse_dilations,
    fuse_hard_swish,
    replace_constant_subtractions,
    settle_operands,
)
from flatshot.compiler.operators import OPERATORS, evaluate
from flatshot.compiler.operators.shaping import concat_axis
from flatshot.compiler.quantization.trained import drop_trained_ranges, fold_trained_weights
from flatshot.compiler.sharing import separate_layouts, share_constants
from flatshot.errors import GraphError
from flatshot.formats.graphdef import Array
from flatshot.formats.tflite import Activation

Pass = Callable[[Graph], int]

# Folding shall not turn a small file into a large one: beyond so many bytes more, in all, it is
# left to run time.
_MAX_FOLDED_BYTES = 2**26
_ACTIVATIONS = {"relu": Activation.RELU, "relu6": Activation.RELU6}
_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
_UNFOLDED = (*_CONVOLUTIONS, "fake_quant")
_FUSING = (*_CONVOLUTIONS, "add", "sub", "mul", "div")


def drop_dead(graph: Graph) -> int:
    """Drop operators whose results nobody uses."""
    count = 0
    for op in reversed(graph.ops):
        if not any(value.users or graph.is_output(value) for value in op.outputs):
            graph.remove(op)
            count += 1
    return count


def drop_identities(graph: Graph) -> int:
    """Drop operators that hand on their input.

    1. The result is no output of the graph: its readers read the input instead.
    2. It is one, and an operator makes the input for us alone to name: that operator takes over
       the output's name.
    3. It is one and the input is a constant, an input or another output of the graph: what stays is
       a reshape to the same shape, for TensorFlow Lite has no identity.
    """
    count = 0
    for op in graph.ops:
        if op.kind != "identity":
            continue
        source, result = op.inputs[0], op.output
        if not graph.is_output(result):
            graph.replace_uses(result, source)
            graph.remove(op)
        elif source.producer and not graph.is_output(source):
            maker = source.producer
            graph.set_input(op, 0, _detached(source))
            graph.replace_uses(source, result)
            maker.outputs[maker.outputs.index(source)] = result
            result.producer = maker
            result.range = result.range or source.range
            op.outputs = []
            graph.remove(op)
        else:
            op.kind = "reshape"
            shape = np.array(source.dims, np.int32)
            name = graph.fresh_name(f"{op.name}/shape")
            graph.set_input(op, 1, graph.constant(name, shape))
        count += 1
    return count


def _detached(value: Value) -> Value:
    return Value(value.name, value.shape, value.dtype)


def fold_constants(graph: Graph) -> int:
    """Replace operators whose inputs are all constant by what they compute.

    Convolutions are left: nobody folds them, and a small file could ask for any amount of work. So
    are FakeQuants, whose ranges are read first: see `quantization.trained`.
    """
    count = 0
    for op in graph.ops:
        operator = OPERATORS.get(op.kind)
        if operator is None or operator.kernel is None or op.kind in _UNFOLDED:
            continue
        if len(op.outputs) > 1:
            continue  # their parts are views; whoever reads one folds it
        if graph.is_output(op.output):
            continue
        size = math.prod(op.output.shape or ()) * op.output.dtype.itemsize
        arrays = [value.data for value in op.inputs if value.data is not None]
        growth = max(0, size - sum(array.nbytes for array in arrays))
        if len(arrays) < len(op.inputs) or max(size, graph.grown + growth) > _MAX_FOLDED_BYTES:
            continue
        graph.grown += growth
        graph.replace_uses(op.output, graph.constant(op.output.name, evaluate(op, *arrays)))
        graph.remove(op)
        count += 1
    return count


def drop_trivial_arithmetic(graph: Graph) -> int:
    """Turn x * 1, x / 1, x + 0 and x - 0 into identities."""
    neutral = {"mul": 1, "div": 1, "add": 0, "sub": 0, "bias_add": 0}
    count = 0
    for op in graph.ops:
        if op.kind not in neutral:
            continue
        for index in (1, 0) if op.kind in ("mul", "add") else (1,):
            constant, other = op.inputs[index].data, op.inputs[1 - index]
            # All elements are compared, but a scalar is by far the common case.
            if (
                constant is not None
                and other.shape == op.output.shape
                and bool(np.all(constant == neutral[op.kind]))
            ):
                graph.set_inputs(op, [other])
                op.kind = "identity"
                count += 1
                break
    return count


def replace_squeeze(graph: Graph) -> int:
    """Replace squeezes and their opposite by reshapes to a constant, called `<name>_shape`."""
    count = 0
    for op in graph.ops:
        if op.kind in ("squeeze", "expand_dims"):
            op.kind = "reshape"
            shape = np.array(op.output.dims, np.int32)
            name = graph.fresh_name(f"{op.output.name}_shape")
            graph.set_input(op, 1, graph.constant(name, shape))
            count += 1
    return count


def drop_reshaped_reshapes(graph: Graph) -> int:
    """Drop reshapes that are only read by reshapes: the last shape alone counts."""
    count = 0
    for op in graph.ops:
        result = op.output if op.kind == "reshape" else None
        if result is None or graph.is_output(result):
            continue
        if all(user.kind == "reshape" and user.inputs[1] is not result for user in result.users):
            graph.replace_uses(result, op.inputs[0])
            graph.remove(op)
            count += 1
    return count


def settle_concat_axes(graph: Graph) -> int:
    """Turn the axis of a concatenation from an input into an attribute."""
    count = 0
    for op in graph.ops:
        if op.kind == "concat" and "axis" not in op.attrs:
            op.attrs["axis"] = concat_axis(op)
            graph.set_inputs(op, op.inputs[:-1])
            count += 1
    return count


def split_batch_norms(graph: Graph) -> int:
    """Replace batch norm by a multiplication and an addition of constants.

    scale = gamma / sqrt(variance + epsilon), offset = beta - mean * scale, in float32 as in TOCO.
    """
    count = 0
    order = []
    for op in graph.ops:
        if op.kind != "batch_norm":
            order.append(op)
            continue
        parameters = [value.data for value in op.inputs[1:] if value.data is not None]
        if len(parameters) != 4:
            raise GraphError(f"{op.name!r}: the parameters of batch norm must be constants")
        gamma, beta, mean, variance = parameters
        with np.errstate(all="ignore"):
            scale = gamma * (1 / np.sqrt(variance + np.float32(op.attrs["epsilon"])))
            offset = beta - mean * scale
        parts = ("mul_0", "mul_0_param", "add_param")  # as TOCO calls them
        names = [graph.fresh_name(f"{op.name}_{part}") for part in parts]
        product = Value(names[0], op.output.shape, op.output.dtype)
        factor = graph.constant(names[1], scale)
        multiply = Op("mul", product.name, [op.inputs[0], factor], {})
        order += [graph.add(multiply, [product]), op]
        op.kind, op.attrs = "add", {}
        graph.set_inputs(op, [product, graph.constant(names[2], offset)])
        count += 1
    graph.reorder(order)
    return count


def fold_arithmetic(graph: Graph) -> int:
    """Fold multiplications and additions of one constant a channel into the convolution before.

    The filter and the bias become new constants. A filter that others read too is not multiplied:
    each of them would get a copy of its own, so the multiplication stays, as in TOCO. A convolution
    without a bias gets one called `<convolution>_bias`.
    """
    count = 0
    for op in graph.ops:
        kind = "add" if op.kind == "bias_add" else op.kind
        if kind not in ("add", "mul"):
            continue
        found = _convolution_before(graph, op)
        if found is None:
            continue
        conv, constant = found
        if kind == "mul" and not conv.inputs[1].read_only_by(conv):
            continue
        channels = conv.output.dims[-1]
        factor = np.broadcast_to(constant.reshape(-1), (channels,))
        if kind == "mul":
            _scale_filter(graph, conv, factor)
        _change_bias(graph, conv, factor, scaled=kind == "mul")
        graph.absorb(conv, op)
        count += 1
    return count


def _convolution_before(graph: Graph, op: Op) -> tuple[Op, Array] | None:
    """The convolution that only `op` reads, and the constant of `op`, if they can be folded."""
    for image, other in (op.inputs, op.inputs[::-1]):
        conv = image.producer
        if (
            conv is not None
            and conv.kind in _CONVOLUTIONS
            and "activation" not in conv.attrs
            and image.read_only_by(op)
            and not graph.is_output(image)
            and conv.inputs[1].data is not None
            and other.data is not None
            and math.prod(other.dims) in (1, image.dims[-1])
            and math.prod(other.dims) == (other.dims or (1,))[-1]
            and op.output.shape == image.shape
        ):
            return conv, other.data
    return None


def _scale_filter(graph: Graph, conv: Op, factor: Array) -> None:
    filter_ = conv.inputs[1]
    assert filter_.data is not None
    data = filter_.data
    with np.errstate(all="ignore"):
        if conv.kind == "conv2d":
            # Laid out as it will be written, so that writing need not copy it once more.
            wide = data.transpose(3, 0, 1, 2)
            scaled = np.multiply(wide, factor[:, None, None, None], order="C").transpose(1, 2, 3, 0)
        else:
            scaled = data * factor.reshape(data.shape[2:])
    name = filter_.name
    if graph.is_output(filter_):
        name = graph.fresh_name(f"{conv.name}/{name}")
    graph.set_input(conv, 1, graph.constant(name, scaled))


def _change_bias(graph: Graph, conv: Op, operand: Array, *, scaled: bool) -> None:
    if len(conv.inputs) == 2:
        if scaled:
            return
        bias = np.array(operand)
        name = graph.fresh_name(f"{conv.name}_bias")
    else:
        old = conv.inputs[2].data
        assert old is not None
        with np.errstate(all="ignore"):
            bias = old * operand if scaled else old + operand
        name = conv.inputs[2].name  # one that was made here, for this convolution alone
    graph.set_input(conv, 2, graph.constant(name, bias))


def add_missing_biases(graph: Graph) -> int:
    """Give each convolution without a bias one of zeros: TensorFlow Lite's delegates want it."""
    count = 0
    for op in graph.ops:
        if op.kind in _CONVOLUTIONS and len(op.inputs) == 2:
            zeros = np.zeros(op.output.dims[-1], op.output.dtype)
            name = graph.fresh_name(f"{op.name}_bias")
            graph.set_input(op, 2, graph.constant(name, zeros))
            count += 1
    return count


def expand_bias_adds(graph: Graph) -> int:
    """Turn what is left of bias additions into additions, which broadcast the same."""
    count = 0
    for op in graph.ops:
        if op.kind == "bias_add":
            op.kind = "add"
            count += 1
    return count


def fuse_activations(graph: Graph) -> int:
    """Fuse an activation into the operator before it, if that has no other reader."""
    count = 0
    for op in graph.ops:
        if op.kind not in _ACTIVATIONS:
            continue
        source = op.inputs[0]
        maker = source.producer
        if (
            maker is not None
            and maker.kind in _FUSING
            and "activation" not in maker.attrs
            and source.read_only_by(op)
            and not graph.is_output(source)
        ):
            maker.attrs["activation"] = _ACTIVATIONS[op.kind]
            graph.absorb(maker, op)
            count += 1
    return count


CLEANING: Sequence[Pass] = (drop_dead, drop_identities, fold_constants)
FUSING: Sequence[Pass] = (
    drop_trivial_arithmetic,
    drop_identities,
    settle_concat_axes,
    settle_operands,
    replace_squeeze,
    drop_reshaped_reshapes,
    replace_constant_subtractions,
    fuse_dilations,
    split_batch_norms,
    fold_arithmetic,
    fold_constants,
    expand_bias_adds,
    add_missing_biases,
    fold_factors_forward,
    fuse_hard_swish,
    fuse_activations,
    drop_dead,
)
WRITING: Sequence[Pass] = (separate_layouts, share_constants)
PASSES: Sequence[Pass] = (
    *CLEANING,
    fold_trained_weights,
    drop_trained_ranges,
    *FUSING,
    *WRITING,
)
"""What makes a model of real numbers."""


def run_passes(graph: Graph, passes: Sequence[Pass] = PASSES) -> int:
    """Run `passes` over `graph` in their order; the number of changes they made.

    Raises:
        GraphError: a pass left the graph inconsistent; the message names it.
    """
    total = 0
    for run in passes:
        total += run(graph)
        try:
            graph.verify()
        except GraphError as error:
            raise GraphError(f"after the pass {run.__name__}: {error}") from error
    return total
