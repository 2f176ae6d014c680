"""Operators between real numbers and integers of 8 bits, or halves: quantisation puts them in."""

import numpy as np

from flatshot.compiler.ir import Op
from flatshot.compiler.operators.elementwise import same_shape
from flatshot.compiler.operators.registry import Operator, register
from flatshot.formats.tflite import Builtin


def _dequantize_version(op: Op) -> int:
    """3 of halves, 2 of int8."""
    return {np.dtype(np.float16): 3, np.dtype(np.int8): 2}.get(op.inputs[0].dtype, 1)


register(Operator("quantize", tf=(), inputs=(1, 1), shape=same_shape, builtin=Builtin.QUANTIZE))
register(
    Operator(
        "dequantize",
        tf=(),
        inputs=(1, 1),
        shape=same_shape,
        builtin=Builtin.DEQUANTIZE,
        version=_dequantize_version,
    )
)
