"""Tags: the words that records are found by."""

from collections.abc import Iterable

from flatshot.errors import RecordError


def words(tags: Iterable[str]) -> list[str]:
    """Tags as records keep them: sorted, in lower case, each once.

    Raises:
        RecordError: one is none.
    """
    return sorted({tag_word(tag) for tag in tags})


def tag_word(text: str) -> str:
    """A tag as records keep it: in lower case, without space around it.

    Raises:
        RecordError: it is empty, begins with `-` or holds a comma.
    """
    word = text.strip().lower()
    if not word or word.startswith("-") or "," in word:
        raise RecordError(f"{text!r} is no tag: give a word without commas or a leading -")
    return word
