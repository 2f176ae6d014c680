"""What `import flatshot` gives, and what it does not load."""

import inspect
import subprocess
import sys

import pytest

import flatshot

HEAVY = ("ai_edge_litert", "google.protobuf", "PIL", "hotcoco", "numpy", "rich", "click")


def test_import_loads_nothing_heavy() -> None:
    """`import flatshot` loads neither LiteRT, protobuf, Pillow, hotcoco nor NumPy."""
    code = f"import sys, flatshot; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in flatshot.__all__ if name != "__version__"])
def test_each_public_name_is_there_with_a_docstring(name: str) -> None:
    """Each name in `__all__` can be had, and says what it is."""
    value = getattr(flatshot, name)
    assert inspect.getdoc(value)
    assert value.__name__ == name


def test_all_is_sorted_and_complete() -> None:
    """`dir(flatshot)` is `__all__`, sorted as people look for names."""
    assert dir(flatshot) == sorted(flatshot.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public is missing as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        flatshot.nothing  # noqa: B018


def test_each_own_error_descends_from_flatshot_error() -> None:
    """Whoever catches FlatshotError catches all that Flatshot raises on purpose."""
    from flatshot import errors

    own = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(own) > 5
    assert all(issubclass(value, flatshot.FlatshotError) for value in own)
