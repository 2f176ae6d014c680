"""The operators that the compiler knows, declared once each; importing this registers them."""

from flatshot.compiler.operators import (
    convolution,
    elementwise,
    functions,
    numbers,
    padding,
    pooling,
    resizing,
    shapes,
    shaping,
)
from flatshot.compiler.operators.registry import (
    BY_TF_NAME,
    OPERATORS,
    Operator,
    evaluate,
    fitting,
    foretell,
)

__all__ = [
    "BY_TF_NAME",
    "OPERATORS",
    "Operator",
    "convolution",
    "elementwise",
    "evaluate",
    "fitting",
    "foretell",
    "functions",
    "numbers",
    "padding",
    "pooling",
    "resizing",
    "shapes",
    "shaping",
]
