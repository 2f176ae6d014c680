"""Passes about the FakeQuant nodes of quantisation-aware training: ranges, and their removal.

They run once constants are folded and identities are gone.
"""

import logging

from flatshot.compiler.ir import Graph, Op, Range
from flatshot.compiler.operators import evaluate
from flatshot.compiler.operators.functions import fake_quant_limits
from flatshot.compiler.quantization.affine import on_grid
from flatshot.errors import UnsupportedError
from flatshot.formats.graphdef import Array

_log = logging.getLogger("flatshot")


def fold_trained_weights(graph: Graph) -> int:
    """Put constants on the grid that their FakeQuant asks for, and keep its range with them.

    The constant bears the FakeQuant's name, as in TOCO's files.
    """
    count = 0
    for op in graph.ops:
        source = op.inputs[0] if op.kind == "fake_quant" else None
        if source is None or source.data is None or graph.is_output(op.output):
            continue
        limits = _limits(op)
        data: Array
        if op.attrs["num_bits"] == 8:
            data = on_grid(source.data, limits)
        else:
            data = evaluate(op, *(v.data for v in op.inputs if v.data is not None))
        constant = graph.constant(op.output.name, data)
        if op.attrs["num_bits"] == 8:
            constant.range = limits
        graph.replace_uses(op.output, constant)
        graph.remove(op)
        count += 1
    return count


def _limits(op: Op) -> Range:
    low, high = fake_quant_limits(op)
    return Range(low, high, bool(op.attrs["narrow_range"]))


def read_trained_ranges(graph: Graph) -> int:
    """Turn the FakeQuants of computed values into identities, and keep their ranges.

    Raises:
        UnsupportedError: one is not of 8 bits.
    """
    count = 0
    for op in graph.ops:
        if op.kind != "fake_quant":
            continue
        if op.attrs["num_bits"] != 8:
            raise UnsupportedError(
                f"{op.name!r} is for {op.attrs['num_bits']} bits; models of 8 are written "
                "(--inference_type=FLOAT leaves the ranges out)"
            )
        limits = _limits(op)
        source = op.inputs[0]
        source.range = source.range or limits
        op.output.range = limits
        graph.set_inputs(op, [source])
        op.kind, op.attrs = "identity", {}
        count += 1
    return count


def drop_trained_ranges(graph: Graph) -> int:
    """Turn the FakeQuants of computed values into identities: a float model needs no ranges."""
    count = 0
    for op in graph.ops:
        if op.kind == "fake_quant":
            graph.set_inputs(op, op.inputs[:1])
            op.kind, op.attrs = "identity", {}
            count += 1
    if count:
        _log.info(
            "%d FakeQuant nodes are left out: their ranges are for a quantised model "
            "(--inference_type=QUANTIZED_UINT8 or INT8)",
            count,
        )
    return count


def has_trained_ranges(graph: Graph) -> bool:
    """Whether the graph was made by quantisation-aware training."""
    return any(op.kind == "fake_quant" for op in graph.ops)
