"""Whether there is somebody to ask or to show progress to."""

import sys


def can_ask() -> bool:
    """Whether a question would be seen and could be answered; closed streams are no terminals."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def can_show() -> bool:
    """Whether progress on stderr would be seen."""
    return _is_terminal(sys.stderr)


def _is_terminal(stream: object) -> bool:
    # Python puts None where a stream was closed before it started.
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())
