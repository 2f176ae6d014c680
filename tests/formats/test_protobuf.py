"""Declared messages mean what protobuf's own .proto files would."""

import pytest
from google.protobuf import descriptor_pb2

from flatshot.errors import FormatError
from flatshot.formats import protobuf

CLASSES = protobuf.message_classes(
    "flatshot.test",
    "proto2",
    {
        "Color": {"RED": 0, "BLUE": 5},
        "Item": [
            "string name = 1 [default = x]",
            "repeated int32 sizes = 2",
            "map<string, Item> parts = 3",
            "oneof choice: int64 a = 4",
            "oneof choice: bool b = 5",
            "Color color = 6 [default = BLUE]",
            "Nothing nothing = 7",
        ],
        "Nothing": [],
    },
)


def test_a_declared_message_is_the_one_of_the_proto_file() -> None:
    """Names, numbers, labels and defaults, as `protoc` would describe them."""
    got = descriptor_pb2.DescriptorProto()
    CLASSES["Item"].DESCRIPTOR.CopyToProto(got)
    assert [(f.name, f.number, f.label, f.default_value) for f in got.field] == [
        ("name", 1, 1, "x"),
        ("sizes", 2, 3, ""),
        ("parts", 3, 3, ""),
        ("a", 4, 1, ""),
        ("b", 5, 1, ""),
        ("color", 6, 1, "BLUE"),
        ("nothing", 7, 1, ""),
    ]
    assert [oneof.name for oneof in got.oneof_decl] == ["choice"]
    assert got.nested_type[0].options.map_entry


def test_a_message_read_from_the_wire_has_its_values() -> None:
    """Encoded by hand: name "n", sizes 1 and 300."""
    item = protobuf.parse_binary(CLASSES["Item"], b"\x0a\x01n\x10\x01\x10\xac\x02", "item")
    assert (item.name, list(item.sizes), item.color) == ("n", [1, 300], 5)


@pytest.mark.parametrize("data", [b"\x0a\x05n", b"\x0a" + b"\xff" * 11, b"\x00", b"\x1a\x7f" * 200])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    """Truncated, a number of eleven bytes, field 0, nested for ever."""
    with pytest.raises(FormatError, match="not a item"):
        protobuf.parse_binary(CLASSES["Item"], data, "item")


def test_unknown_fields_are_listed_with_their_places() -> None:
    """Not those in a message whose content does not matter, nor inside unknown ones."""
    text = 'parts { key: "k" value { odd: 1 } }\nnothing { any: 1 }\n more < x: [1, {y: 2}] >'
    assert protobuf.unknown_fields(CLASSES["Item"], text, "text") == [
        ("parts.value.odd", 1, 26),
        ("more", 3, 2),
    ]
    with pytest.raises(FormatError, match="text: its messages are nested too deep"):
        protobuf.unknown_fields(CLASSES["Item"], "nothing {" * 100_000, "text")
