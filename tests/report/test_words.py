"""Numbers as the pages write them."""

import pytest

from flatshot.report import words


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (-0.00413, "\u22120.4"),
        (0.0321, "+3.2"),
        (-0.0004, "\u22120.04"),
        (0, "0.0"),
        (1e-9, "0.00"),
    ],
)
def test_points(difference: float, text: str) -> None:
    """Signed, with a second digit where one would say nothing."""
    assert words.points(difference) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1e-8, "0.00000001"), (1e-5, "0.00001"), (0.3, "0.3"), (100, "100")]
)
def test_settings_have_no_exponent(value: float, text: str) -> None:
    """A threshold of 1e-8 stays one."""
    assert words.number(value) == text


def test_groups_and_lists() -> None:
    """Long numbers in groups of three, lists with an `and`."""
    assert words.count(1112) == "1\u202f112"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a"]) == "a"
    assert words.tally(["car", "bus", "car"]) == "car 2, bus"
    assert words.figure(-1) == words.NOTHING
