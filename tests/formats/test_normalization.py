"""How pixels become input: what is written is read, and damage is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FormatError
from flatshot.formats.normalization import read_normalization, write_normalization

numbers = st.floats(-1e6, 1e6)


@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers))
def test_what_is_written_is_read(scale: tuple[float, ...], offset: tuple[float, ...]) -> None:
    """To the last bit."""
    assert read_normalization(write_normalization(scale, offset), 3) == (scale, offset)


def test_one_number_is_for_all_channels() -> None:
    """Scale and offset apart."""
    assert read_normalization(write_normalization([0.5], [1, 2, 3]), 3) == (
        (0.5, 0.5, 0.5),
        (1.0, 2.0, 3.0),
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is damaged"),
        (b"\xff", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"scale": [1]}', "is damaged"),
        (b'{"scale": 1, "offset": [0]}', "is damaged"),
        (b'{"scale": ["x"], "offset": [0]}', "is damaged"),
        (b'{"scale": [NaN], "offset": [0]}', "not finite"),
        (b'{"scale": [1, 2], "offset": [0]}', "for 2 channels, the input has 3"),
        (b'{"scale": [], "offset": [0]}', "for 0 channels"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    """In one line."""
    with pytest.raises(FormatError, match=message) as caught:
        read_normalization(data, 3)
    assert "\n" not in str(caught.value)
