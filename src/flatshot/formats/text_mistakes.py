"""Where a text in protobuf's text format is mistyped, and texts from Windows made readable.

Protobuf's own parser tells no place within what it skips. This one knows no messages: it follows
braces, fields and values, and is asked only once that parser has refused.
"""

import re
from dataclasses import dataclass

from flatshot.formats.sniffing import decode_text

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v\n]+|\#[^\n]*)
      | (?P<string>"(?:\\[^\n]|[^"\\\n])*"|'(?:\\[^\n]|[^'\\\n])*')
      | (?P<open_string>["'])
      | (?P<word>[A-Za-z0-9_.+/-]+)
      | (?P<mark>[{}<>\[\]:,;])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_STRING = re.compile(r"\#[^\n]*|\"(?:\\[^\n]|[^\"\\\n])*\"|'(?:\\[^\n]|[^'\\\n])*'")
# A backslash that begins none of the escapes of the text format: those of C, and whole \x, \u, \U.
_LONE = re.compile(
    r"\\(?:(x[0-9a-fA-F]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7abfnrtv\\?'\"])|)", re.DOTALL
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}
_MAX_DEPTH = 200


def readable(data: bytes) -> str:
    """The text in `data`, of Windows or not: UTF-8 or UTF-16, else one byte a letter.

    Letters beyond ASCII stand in comments and paths, which change no model. Backslashes that begin
    no escape are kept as they are, as TensorFlow's parser keeps them.
    """
    try:
        text = decode_text(data)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\\" not in text:
        return text
    return _STRING.sub(_repaired, text)


def _repaired(match: re.Match[str]) -> str:
    return match[0] if match[0][0] == "#" else _LONE.sub(_kept, match[0])


def _kept(match: re.Match[str]) -> str:
    return match[0] if match[1] else "\\\\"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


@dataclass(frozen=True)
class _Open:
    mark: str
    field: str
    place: int


def first_mistake(text: str) -> str | None:
    """The first mistake of form in `text` with its line and column, from 1; None if there is none.

    Found are strings without an end, letters that belong nowhere, fields without a value, values
    without a field, and braces that close nothing or are never closed.
    """
    return _Checker(text).mistake()


class _Checker:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [
            _Token(match.lastgroup or "other", match[0], match.start())
            for match in _TOKEN.finditer(text)
            if match.lastgroup != "space"
        ]
        self._next = 0
        self._open: list[_Open] = []
        # The first brace that was closed at another indentation than its line's: the one inside
        # which a closing brace is missing.
        self._suspect: _Open | None = None

    def mistake(self) -> str | None:
        while self._next < len(self._tokens):
            wrong = self._item()
            if wrong is not None:
                return wrong
        if self._open:
            inner = self._suspect or self._open[-1]
            line, column = self._line_and_column(inner.place)
            return (
                f"line {line}, column {column}: {inner.field or 'this message'} is opened here and "
                "never closed"
            )
        return None

    def _item(self) -> str | None:
        """One field, or one closing brace; in a list one value."""
        token = self._take()
        listed = bool(self._open) and self._open[-1].mark == "["
        if token.text in ("}", ">", "]") and token.kind == "mark":
            return self._close(token)
        if token.text in (",", ";") and token.kind == "mark":
            return None
        if listed:
            return self._value(token, self._open[-1].field)
        if token.text == "[":  # the name of an extension
            while self._peek().text not in ("]", "") and self._peek().kind != "open_string":
                self._take()
            self._take()
        elif token.kind != "word" or token.text[0] in "0123456789+-./":
            return self._wrong(token, "a field's name is expected here, not")
        if self._peek().text == ":":
            self._take()
            return self._value(self._take(), token.text, whose=token)
        if self._peek().text in ("{", "<"):
            return self._value(self._take(), token.text)
        return self._wrong(self._peek(), f"{token.text!r} lacks its ':' and value before")

    def _value(self, token: _Token, field: str, whose: _Token | None = None) -> str | None:
        if token.text in ("{", "<", "[") and token.kind == "mark":
            if len(self._open) >= _MAX_DEPTH:
                return self._wrong(token, "messages are nested too deep at")
            self._open.append(_Open(token.text, field, (whose or self._before(token)).place))
            return None
        if token.kind == "string":
            while self._peek().kind == "string":
                self._take()
            return None
        if token.kind == "word":
            return None
        return self._wrong(token, f"a value of {field!r} is expected here, not")

    def _close(self, token: _Token) -> str | None:
        if not self._open:
            return self._wrong(token, "nothing is open that could be closed by")
        opened = self._open.pop()
        if _CLOSING[opened.mark] != token.text:
            line, _ = self._line_and_column(opened.place)
            return self._wrong(token, f"{opened.field!r} of line {line} cannot be closed by")
        own = self._indentation(token.place)
        if own is not None and self._suspect is None:
            indentation = self._indentation(opened.place)
            if indentation is not None and indentation > own:
                self._suspect = opened
        return None

    def _indentation(self, place: int) -> int | None:
        """The column of what stands first on its line; None for what does not."""
        start = self._text.rfind("\n", 0, place) + 1
        return place - start if not self._text[start:place].strip() else None

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _peek(self) -> _Token:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        return _Token("end", "", len(self._text.rstrip()))

    def _before(self, token: _Token) -> _Token:
        """The name of the field that a brace opens."""
        place = min(self._next, len(self._tokens)) - 2
        while place > 0 and self._tokens[place].text in (":", "{", "<"):
            place -= 1
        return self._tokens[max(place, 0)] if self._tokens else token

    def _wrong(self, token: _Token, what: str) -> str:
        line, column = self._line_and_column(token.place)
        if token.kind == "open_string":
            return f"line {line}, column {column}: the text that begins here has no closing quote"
        shown = repr(token.text[:40]) if token.text else "the end of the file"
        advice = ""
        if token.text and token.text in "\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u00b4`":
            advice = " (a quote of a word processor: write \" or ')"
        return f"line {line}, column {column}: {what} {shown}{advice}"

    def _line_and_column(self, place: int) -> tuple[int, int]:
        before = self._text[:place]
        return before.count("\n") + 1, place - before.rfind("\n")
