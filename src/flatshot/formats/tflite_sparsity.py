"""Weights in sparse form, as TensorFlow Lite's schema has it: read and written, never unfolded."""

from dataclasses import dataclass
from typing import Any

from flatshot.formats.flatbuffer import Kind, slot, tables, union, vector

Numbers = Any  # a NumPy array, or None where the file has none


@dataclass
class Int32Vector:
    """Places as 32-bit numbers."""

    values: Numbers = vector(0, Kind.I32)


@dataclass
class Uint16Vector:
    """Places as 16-bit numbers."""

    values: Numbers = vector(0, Kind.U16, align=4)


@dataclass
class Uint8Vector:
    """Places as bytes."""

    values: Numbers = vector(0, Kind.U8, align=4)


_PLACES = {1: Int32Vector, 2: Uint16Vector, 3: Uint8Vector}


@dataclass
class DimensionMetadata:
    """How one dimension is kept: whole, or as places with segments of them."""

    format: int = slot(0, Kind.I8)
    dense_size: int = slot(1, Kind.I32)
    array_segments_type: int = slot(2, Kind.U8)
    array_segments: Any = union(3, "array_segments_type", _PLACES)
    array_indices_type: int = slot(4, Kind.U8)
    array_indices: Any = union(5, "array_indices_type", _PLACES)


@dataclass
class Sparsity:
    """Which values of a tensor its buffer holds; all others are 0."""

    traversal_order: Numbers = vector(0, Kind.I32)
    block_map: Numbers = vector(1, Kind.I32)
    dim_metadata: list[DimensionMetadata] = tables(2, lambda: DimensionMetadata)
