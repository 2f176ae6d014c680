"""Flatshot: single-shot detectors to TensorFlow Lite, and how good and fast they are.

Names are loaded on first use, so that `import flatshot` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flatshot.errors import FlatshotError as FlatshotError

_HOMES = {
    "FlatshotError": "flatshot.errors",
}

__all__ = ["FlatshotError", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flatshot' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
