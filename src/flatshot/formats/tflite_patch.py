"""Edits of a .tflite file in its own bytes, which lose nothing of what the file holds.

Reading a foreign model into tables and writing it again would drop whatever the tables do not
declare. These functions change a few offsets instead and append what is new, so every other byte
stays. The result is a FlatBuffer; a zip file behind it (packed labels) is no longer at the end.
"""

import struct
from collections.abc import Sequence

from flatshot.errors import FormatError
from flatshot.formats import flatbuffer, tflite

_WHAT = "TensorFlow Lite model"
# Slots of the schema: Model, SubGraph and Operator.
_SUBGRAPHS, _SIGNATURES = 2, 7
_OUTPUTS, _OPERATORS = 2, 3
_INPUTS, _CUSTOM_OPTIONS = 1, 5


def replace_custom_options(data: flatbuffer.Bytes, operator: int, options: bytes) -> bytes:
    """The model with `options` as the custom options of an operator of its first sub-graph.

    Args:
        data: the bytes of a .tflite file.
        operator: which operator, from 0.
        options: the new options, a FlexBuffer.

    Raises:
        FormatError: the file is damaged, there is no such operator, or it has no custom options.
    """
    patch = _Patch(data)
    table = patch.operator(operator)
    field = patch.reader.field_position(table, _CUSTOM_OPTIONS, f"operator {operator}")
    if field is None:
        raise FormatError(f"operator {operator} has no custom options to replace")
    patch.point(field, patch.append(struct.pack("<I", len(options)) + options))
    return bytes(patch.data)


def replace_outputs(data: flatbuffer.Bytes, tensors: Sequence[int]) -> bytes:
    """The model with other outputs of its first sub-graph.

    Signatures, which name the old outputs, are emptied.

    Args:
        data: the bytes of a .tflite file.
        tensors: indices of the tensors to put out, in order.

    Raises:
        FormatError: the file is damaged, or has no such tensors.
    """
    patch = _Patch(data)
    if not all(0 <= tensor < patch.tensors for tensor in tensors):
        raise FormatError(f"there are no tensors {list(tensors)} in sub-graph 0 to put out")
    patch.set_outputs(struct.pack(f"<{len(tensors)}I", *tensors))
    return bytes(patch.data)


def cut_before(data: flatbuffer.Bytes, operator: int) -> bytes:
    """The model without an operator of its first sub-graph, ending in its first two inputs.

    The outputs of the sub-graph become those two tensors. Signatures, which name the old outputs,
    are emptied; operators that need what the removed one computed must not be there.

    Args:
        data: the bytes of a .tflite file.
        operator: which operator, from 0.

    Raises:
        FormatError: the file is damaged, there is no such operator, or it has fewer inputs.
    """
    patch = _Patch(data)
    inputs = patch.vector(patch.operator(operator), _INPUTS, 4, f"operator {operator}")
    if patch.count(inputs) < 2:
        raise FormatError(f"operator {operator} has fewer than two inputs to end in")
    first_two = bytes(patch.data[inputs + 4 : inputs + 12])
    patch.remove_operator(operator)
    patch.set_outputs(first_two)
    return bytes(patch.data)


class _Patch:
    """A copy of a model's bytes, and where its tables lie in it."""

    def __init__(self, data: flatbuffer.Bytes) -> None:
        # Reading refuses what is no model before anything is changed.
        graphs = tflite.read_model(data).subgraphs
        if not graphs:
            raise FormatError(f"the {_WHAT} has no sub-graph")
        self.tensors = len(graphs[0].tensors)
        self.data = bytearray(data)
        self.reader = flatbuffer.Reader(self.data, _WHAT)
        self.root = self.reader.offset(0)
        first = self.vector(self.root, _SUBGRAPHS, 4, "model") + 4
        self.graph = self.reader.offset(first, "sub-graph 0")
        self.operators = self.vector(self.graph, _OPERATORS, 4, "sub-graph 0")

    def vector(self, table: int, slot: int, item: int, where: str) -> int:
        """The byte at which a table's vector begins (with its length)."""
        field = self.reader.field_position(table, slot, where)
        if field is None:
            raise FormatError(f"damaged {_WHAT}: {where} lacks slot {slot}")
        start = self.reader.offset(field, where)
        self.reader.length(start, item, where)
        return start

    def count(self, vector: int) -> int:
        """How many items the vector at a byte has."""
        return int(self.reader.number("I", vector, "vector"))

    def operator(self, number: int) -> int:
        """The byte at which an operator's table begins."""
        if not 0 <= number < self.count(self.operators):
            raise FormatError(f"there is no operator {number} in sub-graph 0")
        return self.reader.offset(self.operators + 4 + 4 * number, f"operator {number}")

    def append(self, content: bytes) -> int:
        """Put `content`, a vector with its length, at the end; returns where it begins."""
        # FlexBuffers and numbers of four bytes ask for alignment; 16 suits whatever follows.
        self.data += b"\0" * (-len(self.data) % 16)
        start = len(self.data)
        self.data += content + b"\0" * (-len(content) % 4)
        return start

    def point(self, field: int, target: int) -> None:
        """Make the offset at byte `field` lead to byte `target`."""
        struct.pack_into("<I", self.data, field, target - field)

    def remove_operator(self, number: int) -> None:
        """Close the gap that an operator leaves in the vector of operators."""
        start, count = self.operators + 4, self.count(self.operators)
        for at in range(start + 4 * number, start + 4 * (count - 1), 4):
            # An offset counts from its own place, which moves forward by four bytes.
            struct.pack_into("<I", self.data, at, self.reader.number("I", at + 4, "operators") + 4)
        struct.pack_into("<I", self.data, self.operators, count - 1)

    def set_outputs(self, tensors: bytes) -> None:
        """Let the sub-graph put out `tensors`, indices of four bytes; signatures are emptied."""
        field = self.reader.field_position(self.graph, _OUTPUTS, "sub-graph 0")
        if field is None:
            raise FormatError("sub-graph 0 has no outputs")
        self.point(field, self.append(struct.pack("<I", len(tensors) // 4) + tensors))
        field = self.reader.field_position(self.root, _SIGNATURES, "model")
        if field is not None:
            struct.pack_into("<I", self.data, self.reader.offset(field, "signatures"), 0)
