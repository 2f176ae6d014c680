"""What a file is that is not what it should be: told from its first bytes, for messages only.

No reader takes or refuses a file by this; it is asked once the reader has failed.
"""

import re
from collections.abc import Sequence

_WRONG = "the download went wrong, or the link leads to a page about the file"
_UNPACK = "unpack it and give the file in it"
_AS_IS = "give the file that is asked for"

# Pattern at the beginning -> what it is, what to do. The first that fits is it.
_KINDS: Sequence[tuple[bytes, str, str]] = (
    (rb"version https://git-lfs\.github\.com/", "a Git LFS pointer", "git lfs pull fetches it"),
    (rb"(?:\.\./)*\.?/?(?:\S*/)?annex/objects/", "a git-annex pointer", "git annex get fetches it"),
    (rb"\s*<!doctype html|\s*<html|\s*<head|\s*<script", "a web page (HTML)", _WRONG),
    (rb"\s*(?:<\?xml[^>]*>\s*)?<Error>", "a server's error report (XML)", _WRONG),
    (rb"\s*<svg|\s*<\?xml[^>]*>\s*(?:<!--.*?-->\s*)?<svg", "a drawing (SVG)", _AS_IS),
    (rb"\s*<\?xml", "an XML file", _AS_IS),
    (rb"(?:404: )?Not Found\s*$|\s*\{\s*\"message\"\s*:", "a server's error message", _WRONG),
    (rb"\s*(?:Access Denied|Forbidden|Rate limit|Too Many Req)", "a server's message", _WRONG),
    (rb"PK\x03\x04.{0,200}word/|PK\x03\x04.{0,200}xl/", "an office document", _AS_IS),
    (rb"PK\x03\x04.{0,80}data\.pkl", "a PyTorch checkpoint", "TensorFlow's files are taken"),
    (rb"PK\x03\x04.{0,90}(?:config|metadata)\.json", "a Keras file or a ZIP archive", _UNPACK),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive", _UNPACK),
    (rb"\x1f\x8b", "a gzip file (.gz, .tar.gz)", _UNPACK),
    (rb"BZh[1-9]1AY", "a bzip2 file (.bz2)", _UNPACK),
    (rb"\xfd7zXZ\0", "an xz file (.xz)", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "a Zstandard file (.zst)", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"%PDF-", "a PDF document", _AS_IS),
    (rb"%!PS", "a PostScript file", _AS_IS),
    (rb"\x89HDF\r\n\x1a\n", "a Keras file (HDF5)", "export it as a SavedModel first"),
    (rb"(?s:.{4})TFL3", "a TensorFlow Lite model", _AS_IS),
    (rb"GGUF", "a GGUF model of a language model", _AS_IS),
    (rb"\x93NUMPY", "a NumPy array (.npy)", _AS_IS),
    (rb"\x80[\x02-\x05]", "a Python pickle, as PyTorch saves", "TensorFlow's files are taken"),
    (rb"SQLite format 3\0", "an SQLite database", _AS_IS),
    (rb"\x7fELF|MZ.{2,}This program|\xcf\xfa\xed\xfe", "a program or library", _AS_IS),
    (rb"\xff\xd8\xff", "a JPEG image", _AS_IS),
    (rb"\x89PNG\r\n\x1a\n", "a PNG image", _AS_IS),
    (rb"GIF8[79]a", "a GIF image", _AS_IS),
    (rb"RIFF.{4}WEBP", "a WebP image", _AS_IS),
    (rb"RIFF.{4}AVI ", "a video (AVI)", _AS_IS),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "a TIFF image or a camera's raw file", _AS_IS),
    (rb".{4}ftyp(?:heic|heix|heim|heis|hevc|mif1|msf1)", "a HEIC photo", "save it as JPEG"),
    (rb".{4}ftyp(?:avif|avis)", "an AVIF image", "save it as JPEG or PNG"),
    (rb".{4}ftyp", "a video (MP4, MOV)", _AS_IS),
    (rb"\x1aE\xdf\xa3", "a video (MKV, WebM)", _AS_IS),
    (rb"BM.{4}\0\0\0\0", "a BMP image", _AS_IS),
    (rb"8BPS", "a Photoshop file", "save it as JPEG or PNG"),
    (rb"[\x00-\x20]*[\[{]\s*[\"{\[\]}]", "a JSON file", _AS_IS),
    (rb"\s*item\s*:?\s*[{<]", "a label map", _AS_IS),
    (rb"\s*(?:#[^\n]*\n\s*)*model\s*:?\s*\{", "a pipeline configuration", _AS_IS),
    (rb"\s*(?:#[^\n]*\n\s*)*node\s*:?\s*\{", "a graph as text", "call it *.pbtxt"),
)
_COMPILED = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), kind, advice)
    for pattern, kind, advice in _KINDS
]
HEAD = 4096
"""So many of a file's first bytes are looked at."""


def kind_of(data: bytes | memoryview) -> str | None:
    """What a file with these bytes is, in a few words; None if nobody knows."""
    found = _find(data)
    return None if found is None else found[0]


def mistaken(data: bytes | memoryview, wanted: str) -> str | None:
    """What the bytes are instead of `wanted` and what to do, for a message; None if unknown.

    Args:
        data: the file's bytes, or its first 4096.
        wanted: what was asked for, with its article: "a TensorFlow Lite model".
    """
    found = _find(data)
    if found is None or found[0] == wanted:
        return None
    kind, advice = found
    return f"{kind}, not {wanted}: {advice}"


def _find(data: bytes | memoryview) -> tuple[str, str] | None:
    head = bytes(data[:HEAD]).removeprefix(b"\xef\xbb\xbf")
    if not head:
        return ("an empty file", "the copy or download was cut short")
    if not head.strip(b"\0"):
        return ("a file of zeros", "the copy or download was cut short")
    return next(
        ((kind, advice) for pattern, kind, advice in _COMPILED if pattern.match(head)), None
    )


def is_markup(data: bytes | memoryview) -> bool:
    """Whether the bytes begin as HTML, XML or a pointer in place of the file does."""
    kind = kind_of(data) or ""
    return any(word in kind for word in ("HTML", "XML", "SVG", "pointer", "server"))


def decode_text(data: bytes) -> str:
    """The text in `data`: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")
