"""The options of a custom operator: a FlexBuffer map of names to numbers."""

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flatshot.errors import FormatError

Option = bool | int | float
# What the FlexBuffers reader raises on bytes that are none (it checks no bounds itself).
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
POSTPROCESS = "TFLite_Detection_PostProcess"


def read_options(data: bytes | npt.NDArray[np.uint8]) -> dict[str, Option]:
    """The scalar options in a FlexBuffer map, by name in bytewise order; others are left out.

    Raises:
        FormatError: `data` is no FlexBuffer map.
    """
    from flatbuffers import flexbuffers

    try:
        root = flexbuffers.GetRoot(bytearray(data))
        if not root.IsMap:
            raise FormatError("the options of a custom operator are no FlexBuffer map")
        values = root.AsMap.Value
    except _DAMAGE as error:
        raise FormatError(f"damaged options of a custom operator: {error}") from error
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float)}


def write_options(options: Mapping[str, Option]) -> bytes:
    """`options` as a FlexBuffer map; integers and floats take four bytes each, as TOCO's do.

    Raises:
        FormatError: an integer does not fit 32 bits.
    """
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in sorted(options.items()):
            if isinstance(value, bool):
                builder.Bool(name, value)
            elif isinstance(value, int):
                if not -(2**31) <= value < 2**31:
                    raise FormatError(f"option {name!r}: {value} does not fit 32 bits")
                builder.Int(name, value)
            else:
                builder.Float(name, value, 4)
    return bytes(builder.Finish())
