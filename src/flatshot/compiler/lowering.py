"""Passes that bring operators into the form TensorFlow Lite has for them; see `passes`."""

from collections.abc import Sequence

import numpy as np

from flatshot.compiler.ir import Graph, Op, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.compiler.operators.shapes import gather_axis
from flatshot.formats.tflite import Padding

_THREE, _SIXTH = np.float32(3), np.float32(1) / np.float32(6)


def settle_operands(graph: Graph) -> int:
    """Turn operands that are attributes in TensorFlow Lite into attributes, and 64 bits into 32."""
    count = 0
    for op in graph.ops:
        if op.kind == "gather" and len(op.inputs) > 2:
            op.attrs["axis"] = gather_axis(op)
            graph.set_inputs(op, op.inputs[:2])
            count += 1
        if op.kind in OPERATORS:
            count += _narrow_indices(graph, op, OPERATORS[op.kind].indices)
    return count


def _narrow_indices(graph: Graph, op: Op, indices: Sequence[int]) -> int:
    count = 0
    for index in indices:
        value = op.inputs[index] if index < len(op.inputs) else None
        if value is None or value.data is None or value.data.dtype != np.int64:
            continue
        # Bounds as far away as 64 bits allow mean the end, as those of 32 bits do.
        limits = np.iinfo(np.int32)
        narrow = np.clip(value.data, limits.min, limits.max).astype(np.int32)
        graph.set_input(op, index, graph.constant(graph.fresh_name(value.name), narrow))
        count += 1
    return count


def replace_constant_subtractions(graph: Graph) -> int:
    """Replace x - c by x + (-c), which is the same to the last bit and folds into convolutions."""
    count = 0
    for op in graph.ops:
        subtrahend = op.inputs[1] if op.kind == "sub" else None
        if subtrahend is None or subtrahend.data is None or subtrahend.data.dtype.kind != "f":
            continue
        name = graph.fresh_name(f"{op.name}/negative")
        graph.set_input(op, 1, graph.constant(name, -subtrahend.data))
        op.kind = "add"
        count += 1
    return count


def fuse_dilations(graph: Graph) -> int:
    """Replace space-to-batch, convolution, batch-to-space by one dilated convolution.

    That is how TensorFlow 1 writes it; what is padded and cropped tells SAME from VALID. Other
    paddings stay as they are.
    """
    count = 0
    for op in graph.ops:
        if op.kind not in ("conv2d", "depthwise_conv2d"):
            continue
        before, after = op.inputs[0].producer, _only_reader(graph, op)
        if before is None or before.kind != "space_to_batch" or after is None:
            continue
        padding = _dilated_padding(before, op, after)
        blocks = before.inputs[1].data
        if padding is None or blocks is None:
            continue
        op.attrs |= {"padding": padding, "dilations": (int(blocks[0]), int(blocks[1]))}
        graph.set_input(op, 0, before.inputs[0])
        graph.absorb(op, after)
        count += 1
    return count


def _only_reader(graph: Graph, op: Op) -> Op | None:
    """The batch-to-space that alone reads what `op` makes."""
    if len(op.output.users) != 1 or graph.is_output(op.output):
        return None
    (reader,) = op.output.users
    return reader if reader.kind == "batch_to_space" and op.output is reader.inputs[0] else None


def _dilated_padding(before: Op, op: Op, after: Op) -> Padding | None:
    """The padding of the dilated convolution that three operators make; None for no such one."""
    plain = op.attrs["padding"] == Padding.VALID and op.attrs["strides"] == (1, 1)
    operands = [value.data for value in (*before.inputs[1:], *after.inputs[1:])]
    if not plain or op.attrs["dilations"] != (1, 1) or any(data is None for data in operands):
        return None
    blocks, paddings, out_blocks, crops = (np.asarray(data, np.int64) for data in operands)
    if not np.array_equal(blocks, out_blocks) or crops[:, 0].any():
        return None
    total = (np.array(op.inputs[1].dims[:2]) - 1) * blocks
    same = np.stack([total // 2, total - total // 2], axis=1)
    if np.array_equal(paddings - crops, same):
        return Padding.SAME
    return Padding.VALID if np.array_equal(paddings, crops) else None


def fuse_hard_swish(graph: Graph) -> int:
    """Replace x * relu6(x + 3) / 6, in whatever order it is multiplied, by HARD_SWISH."""
    count = 0
    for op in graph.ops:
        if op.kind != "mul":
            continue
        image = _swished(graph, op)
        if image is not None:
            op.kind, op.attrs = "hard_swish", {}
            graph.set_inputs(op, [image])
            count += 1
    return count


def _swished(graph: Graph, op: Op) -> Value | None:
    """The x of which `op` makes x * relu6(x + 3) / 6; None where it makes something else."""
    factors = _factors(graph, op)
    numbers = [value for value in factors if value.data is not None]
    others = [value for value in factors if value.data is None]
    if len(numbers) != 1 or len(others) != 2 or "activation" in op.attrs:
        return None
    number = numbers[0].data
    # 1/6 in float32, however it was rounded.
    if number is None or number.size != 1 or not np.isclose(number.item(), _SIXTH, rtol=1e-6):
        return None
    for image, gate in (others, others[::-1]):
        if _is_gate(image, gate):
            return image
    return None


def _factors(graph: Graph, op: Op) -> list[Value]:
    """The factors of a product of two, one of which may be a product that nobody else reads."""
    for index in (0, 1):
        value, other = op.inputs[index], op.inputs[1 - index]
        maker = value.producer
        if (
            maker is not None
            and maker.kind == "mul"
            and "activation" not in maker.attrs
            and value.read_only_by(op)
            and not graph.is_output(value)
        ):
            return [*maker.inputs, other]
    return list(op.inputs)


def _is_gate(image: Value, gate: Value) -> bool:
    """Whether `gate` is relu6(image + 3)."""
    clip = gate.producer
    if clip is None or clip.kind != "relu6":
        return False
    shift = clip.inputs[0].producer
    if shift is None or shift.kind != "add" or "activation" in shift.attrs:
        return False
    if image not in shift.inputs:
        return False
    other = shift.inputs[1 - shift.inputs.index(image)].data
    return other is not None and other.size == 1 and other.item() == _THREE
