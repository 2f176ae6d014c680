"""The options of a custom operator: a FlexBuffer map of names to numbers."""

import math
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
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


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
        values = root.AsMap
        # Vectors and maps are not followed: they may share parts and so grow without end.
        return {
            key.AsKey: value.Value
            for key, value in zip(values.Keys, values.Values, strict=False)
            if value.IsBool or value.IsInt or value.IsFloat
        }
    except _DAMAGE as error:
        raise FormatError(f"damaged options of a custom operator: {error}") from error


def write_options(options: Mapping[str, Option]) -> bytes:
    """`options` as a FlexBuffer map; integers and floats take four bytes each, as TOCO's do.

    Raises:
        FormatError: a number does not fit 32 bits, or a name is not ASCII or holds a zero byte,
            which ends it.
    """
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in sorted(options.items()):
            if "\0" in name or not name.isascii():
                raise FormatError(f"option {name!r}: a name is ASCII without a zero byte")
            if isinstance(value, bool):
                builder.Bool(name, value)
            elif isinstance(value, int):
                if not -(2**31) <= value < 2**31:
                    raise FormatError(f"option {name!r}: {value} does not fit 32 bits")
                builder.Int(name, value)
            elif math.isfinite(value) and abs(value) > _LARGEST_FLOAT:
                raise FormatError(f"option {name!r}: {value} does not fit 32 bits")
            else:
                builder.Float(name, value, 4)
    return bytes(builder.Finish())
