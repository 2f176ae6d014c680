"""Options of custom operators: FlexBuffers as the kernel reads them."""

import contextlib

import numpy as np
import pytest
from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FormatError
from flatshot.formats.custom_options import Option, read_options, write_options

OPTIONS: dict[str, Option] = {"max_detections": 10, "use_regular_nms": True, "y_scale": 10.0}
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
numbers = st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(width=32, allow_nan=False)


@given(st.dictionaries(names, numbers, max_size=12))
def test_what_is_written_reads_back_equal(options: dict[str, Option]) -> None:
    """Names, values and their types; the FlexBuffers library says the same."""
    data = write_options(options)
    assert read_options(data) == options
    assert {k: type(v) for k, v in read_options(data).items()} == {
        k: type(v) for k, v in options.items()
    }
    assert flexbuffers.Loads(bytearray(data)) == options


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1e300])
def test_a_number_of_more_than_32_bits_is_refused(value: Option) -> None:
    """The name is in the message."""
    with pytest.raises(FormatError, match=r"option 'big': .* does not fit 32 bits"):
        write_options({"big": value})


def test_a_name_with_a_zero_byte_is_refused() -> None:
    """It would come back shorter."""
    with pytest.raises(FormatError, match="zero byte"):
        write_options({"a\0b": 1})


def test_vectors_and_maps_are_left_out_and_never_followed() -> None:
    """Twelve levels of ten references each are 10**12 values in a few hundred bytes."""
    builder = flexbuffers.Builder(share_keys=True)
    with builder.Map():
        builder.Int("one", 1)
        builder.String("text", "t")
        with builder.Vector("list"):
            builder.Int(1)
    assert read_options(bytes(builder.Finish())) == {"one": 1}


@pytest.mark.parametrize("data", [b"", b"\0", b"abc", bytes(40), b"\xff" * 40, b"\x05\x04\x01"])
def test_what_is_no_map_is_refused(data: bytes) -> None:
    """Also as an array, as models hold it."""
    with pytest.raises(FormatError, match="custom operator"):
        read_options(np.frombuffer(data, np.uint8))


def test_every_changed_byte_is_a_map_or_a_format_error() -> None:
    """All 255 other values of each byte."""
    sound = write_options(OPTIONS)
    for position in range(len(sound)):
        for value in range(256):
            data = bytearray(sound)
            data[position] = value
            with contextlib.suppress(FormatError):
                read_options(bytes(data))
