"""Whether there is somebody to ask or to show progress to."""

import re
import sys

# What a terminal would obey: control characters of both sets, and those that turn the direction of
# writing. Halves of surrogate pairs can be written nowhere.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


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


def visible(text: str) -> str:
    """`text`, a name of a stranger's, in one line that a terminal shows and does not obey."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """The same of a text whose ends of lines are our own."""
    return "\n".join(map(visible, text.split("\n")))
