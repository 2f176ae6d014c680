"""What can be installed: the reviewed data file `catalogue.json`, and the user's own beside it.

The file is JSON, since Python 3.10 reads no TOML by itself. A user's files are those of
`HOME/catalogue/*.json`, in the same form; an entry there replaces ours of that name and version.

    {"format": 1, "packages": [{
        "name": "my-detector", "kind": "model", "version": "1.0", "title": "what it is",
        "tags": ["model", "mine"], "licence": "MIT", "source": "who made it",
        "path": "detect.tflite",                    what the name stands for; "." is the folder
        "exports": {"WEIGHTS_FILE": "./model.ckpt"}, variables; "." and "./..." are places in it
        "parts": [{"urls": ["https://..."], "to": "detect.tflite", "sha256": "...", "bytes": 1}]
    }]}

`builds` may say which feature extractor `flatshot export` builds of a checkpoint. A part is one
file to fetch: `urls` are mirrors in order (`sources.py` tells their forms), `to` is
where it goes. With `"unpack": true` it is an archive, and `to` a folder: `strip` leaves out that
many leading folders of its members, `only` takes those that match a pattern.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from flatshot.errors import ConfigError, FlatshotError, FormatError, PackageError
from flatshot.formats.files import read_bytes
from flatshot.formats.json_text import parse_json
from flatshot.packages.sources import parse_source

FORMAT = 1
KINDS = ("model", "dataset", "labels")
# A name is a word of a command line and a folder's name on every system.
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,99}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a package: where it may come from, how to know it, and where it goes."""

    urls: tuple[str, ...]
    to: str
    sha256: str | None = None
    bytes: int | None = None
    unpack: bool = False
    strip: int = 0
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Package:
    """One entry of the catalogue; the module's text tells the fields."""

    name: str
    kind: str
    version: str
    title: str
    tags: tuple[str, ...]
    licence: str
    source: str
    path: str
    exports: Mapping[str, str]
    parts: tuple[Part, ...]
    builds: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def uid(self) -> str:
        """16 hexadecimal digits that name and version always give."""
        return hashlib.sha256(f"{self.name}@{self.version}".encode()).hexdigest()[:16]

    @property
    def words(self) -> AbstractSet[str]:
        """All that a query may ask for: the tags, and name, kind and version."""
        return {*self.tags, self.name, self.kind, self.version}

    @property
    def bytes(self) -> int | None:
        """How much is fetched, where all of it is known."""
        sizes = [part.bytes for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def is_builtin(self) -> bool:
        """Whether it comes with Flatshot, so that installing it needs no network."""
        return all(url.startswith("builtin:") for part in self.parts for url in part.urls)

    def to_json(self) -> dict[str, Any]:
        """The entry, as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Query:
    """What to look for: tags that must all be there, and tags that must not."""

    wanted: frozenset[str]
    forbidden: frozenset[str]

    def __str__(self) -> str:
        return ",".join([*sorted(self.wanted), *(f"-{tag}" for tag in sorted(self.forbidden))])

    def matches(self, words: AbstractSet[str]) -> bool:
        """Whether what bears `words` is looked for."""
        return self.wanted <= words and not self.forbidden & words


def parse_query(texts: Iterable[str]) -> Query:
    """The query in `texts`, each a tag or several with commas between; `-tag` forbids.

    Case and surrounding space do not count.

    Raises:
        ConfigError: a `-` without a tag.
    """
    tags = [tag.strip().lower() for text in texts for tag in text.split(",") if tag.strip()]
    if "-" in tags:
        raise ConfigError("'-' forbids no tag: write it before one, as in -quantized")
    forbidden = {tag[1:] for tag in tags if tag.startswith("-")}
    return Query(frozenset(tag for tag in tags if not tag.startswith("-")), frozenset(forbidden))


class Catalogue:
    """The packages that are known.

    Attributes:
        packages: all of them; the order is that of the menu: later versions first, then by name.
    """

    def __init__(self, packages: Iterable[Package]) -> None:
        self.packages = sort_packages(packages)

    @cached_property
    def names(self) -> Mapping[str, Sequence[Package]]:
        """Name -> the versions of it, the latest first."""
        found: dict[str, list[Package]] = {}
        for package in self.packages:
            found.setdefault(package.name, []).append(package)
        return found

    def find(self, query: Query) -> list[Package]:
        """The packages that `query` matches; none is no error."""
        return [package for package in self.packages if query.matches(package.words)]

    def get(self, query: Query) -> list[Package]:
        """The packages that `query` matches, at least one.

        Raises:
            PackageError: there is none; the message names what comes close.
        """
        if found := self.find(query):
            return found
        raise PackageError(f"no package has tags {str(query)!r}: {self._hint(query)}")

    def _hint(self, query: Query) -> str:
        known = sorted({word for package in self.packages for word in package.words})
        strange = sorted(query.wanted - set(known))
        if strange:
            close = [
                (word, difflib.get_close_matches(word, known, n=3, cutoff=0.6)) for word in strange
            ]
            hints = [
                f"{word!r} is unknown" + (f", {' or '.join(near)} is close" if near else "")
                for word, near in close
            ]
            return "; ".join(hints) + "; `flatshot find` lists all packages"
        if not self.packages:
            return "the catalogue is empty"
        nearest = max(self.packages, key=lambda package: _nearness(query, package))
        missing = ", ".join(sorted(query.wanted - nearest.words))
        surplus = ", ".join(sorted(query.forbidden & nearest.words))
        but = " and ".join(
            [*([f"lacks {missing}"] if missing else []), *([f"has {surplus}"] if surplus else [])]
        )
        return f"the nearest is {nearest.name}, which {but}"


def _nearness(query: Query, package: Package) -> tuple[int, int]:
    return len(query.wanted & package.words), -len(query.forbidden & package.words)


def sort_packages(packages: Iterable[Package]) -> list[Package]:
    """The packages by version, the latest first, and then by name."""
    by_name = sorted(packages, key=lambda package: package.name)
    return sorted(by_name, key=lambda package: version_key(package.version), reverse=True)


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """What to sort versions by: their numbers as numbers, words before numbers."""
    parts = re.findall(r"\d+|[a-z]+", version.lower())
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def load_catalogue(home: Path) -> Catalogue:
    """Our catalogue, with the entries of the files in `home`/catalogue added or put in its place.

    Raises:
        FileError: a file cannot be read.
        FormatError: a file is no catalogue, or says what it must not; the message names the entry.
    """
    ours = resources.files("flatshot.packages").joinpath("catalogue.json").read_bytes()
    packages = {(p.name, p.version): p for p in read_catalogue(ours, "catalogue.json")}
    origin: dict[tuple[str, str], Path] = {}
    for path in sorted((home / "catalogue").glob("*.json")):
        for package in read_catalogue(read_bytes(path), str(path)):
            key = (package.name, package.version)
            if key in origin:
                raise FormatError(f"{path}: {package} stands in {origin[key]} too: remove one")
            origin[key] = path
            packages[key] = package
    return Catalogue(packages.values())


def read_catalogue(data: bytes, place: str) -> list[Package]:
    """The entries of the catalogue file `data`, which is called `place` in messages.

    Raises:
        FormatError: it is no catalogue; what is wrong where.
    """
    try:
        content = parse_json(data)
    except FormatError as error:
        raise FormatError(f"{place}: {error}") from error
    _check_fields(place, content, {"format": int, "packages": list}, {})
    if content["format"] != FORMAT:
        raise FormatError(f"{place}: format {content['format']}; this Flatshot reads {FORMAT}")
    packages = [
        _package(f"{place}: package {number}", entry)
        for number, entry in enumerate(content["packages"], start=1)
    ]
    seen: set[tuple[str, str]] = set()
    for package in packages:
        key = (package.name, package.version)
        if key in seen:
            raise FormatError(f"{place}: {package} stands there twice")
        seen.add(key)
    return packages


_PACKAGE_FIELDS: Mapping[str, type] = {
    "name": str, "kind": str, "version": str, "title": str, "tags": list, "licence": str,
    "source": str, "path": str, "exports": dict, "parts": list,
}  # fmt: skip
_PACKAGE_OPTIONS: Mapping[str, type] = {"builds": str}
_PART_FIELDS: Mapping[str, type] = {"urls": list, "to": str}
_PART_OPTIONS: Mapping[str, type] = {
    "sha256": str, "bytes": int, "unpack": bool, "strip": int, "only": list,
}  # fmt: skip


def _package(place: str, entry: Any) -> Package:
    _check_fields(place, entry, _PACKAGE_FIELDS, _PACKAGE_OPTIONS)
    place = f"{place} ({entry['name']})"
    for field in ("name", "version"):
        if not _NAME.fullmatch(entry[field]):
            raise FormatError(f"{place}: {field} {entry[field]!r}: use a-z, 0-9 and . _ + -")
    if entry["kind"] not in KINDS:
        raise FormatError(f"{place}: kind {entry['kind']!r}: use {', '.join(KINDS)}")
    tags = _tags(place, entry["tags"])
    exports = _exports(place, entry["exports"])
    _check_inside(place, "path", entry["path"])
    if not entry["parts"]:
        raise FormatError(f"{place}: no parts: nothing would be installed")
    parts = tuple(_part(f"{place}: part {n}", part) for n, part in enumerate(entry["parts"], 1))
    if len({part.to for part in parts if not part.unpack}) < sum(not p.unpack for p in parts):
        raise FormatError(f"{place}: two parts go to one place")
    return Package(**{**entry, "tags": tags, "exports": exports, "parts": parts})


def _tags(place: str, values: Iterable[Any]) -> tuple[str, ...]:
    tags = _texts(place, "tags", values)
    for tag in tags:
        if tag != tag.strip().lower() or not tag or tag.startswith("-") or "," in tag:
            raise FormatError(f"{place}: tag {tag!r}: lower case, no comma, no leading -")
    return tags


def _exports(place: str, values: Mapping[str, Any]) -> dict[str, str]:
    texts = _texts(place, "exports", values.values())
    for name, value in values.items():
        if not _VARIABLE.fullmatch(name):
            raise FormatError(f"{place}: {name!r} is no variable's name")
        if is_place(value):
            _check_inside(place, name, value)
    return dict(zip(values, texts, strict=True))


def _part(place: str, entry: Any) -> Part:
    _check_fields(place, entry, _PART_FIELDS, _PART_OPTIONS)
    urls = _texts(place, "urls", entry["urls"])
    if not urls:
        raise FormatError(f"{place}: no urls: it comes from nowhere")
    for url in urls:
        try:
            source = parse_source(url)
        except FlatshotError as error:
            raise FormatError(f"{place}: {error}") from error
        if source.scheme == "builtin" and entry.get("sha256"):
            raise FormatError(f"{place}: {url} makes a folder, which has no sha256")
    _check_inside(place, "to", entry["to"])
    if not _SHA256.fullmatch(entry.get("sha256", "0" * 64)):
        raise FormatError(f"{place}: sha256 must be 64 digits of 0-9a-f")
    if entry.get("bytes", 0) < 0 or entry.get("strip", 0) < 0:
        raise FormatError(f"{place}: bytes and strip count from 0")
    only = _texts(place, "only", entry.get("only", []))
    if (only or entry.get("strip")) and not entry.get("unpack"):
        raise FormatError(f"{place}: strip and only are for what is unpacked")
    return Part(**{**entry, "urls": urls, "only": only})


def is_place(value: str) -> bool:
    """Whether a variable's value means a place in the package, and not itself."""
    return value == "." or value.startswith("./")


def _check_inside(place: str, field: str, value: str) -> None:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or not value:
        raise FormatError(f"{place}: {field} {value!r} must be a relative path without '..'")


def _texts(place: str, field: str, values: Iterable[Any]) -> tuple[str, ...]:
    texts = tuple(values)
    if not all(isinstance(text, str) for text in texts):
        raise FormatError(f"{place}: {field} must be texts")
    for text in texts:
        _check_text(place, field, text)
    return texts


def _check_text(place: str, field: str, text: str) -> None:
    # A terminal would obey them, and a zero byte ends a path and a variable.
    if strange := _CONTROL.search(text):
        raise FormatError(f"{place}: {field} holds the control character {strange[0]!r}")


def _check_fields(
    place: str, entry: Any, needed: Mapping[str, type], optional: Mapping[str, type]
) -> None:
    if not isinstance(entry, dict):
        raise FormatError(f"{place}: must be an object with {', '.join(needed)}")
    known = {**needed, **optional}
    if unknown := sorted(set(entry) - set(known)):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" (is {close[0]!r} meant?)" if close else ""
        raise FormatError(f"{place}: unknown field {unknown[0]!r}{hint}")
    if missing := [field for field in needed if field not in entry]:
        raise FormatError(f"{place}: {', '.join(missing)} missing")
    for field, value in entry.items():
        if type(value) is not known[field]:
            raise FormatError(f"{place}: {field} must be of type {known[field].__name__}")
        if isinstance(value, str):
            _check_text(place, field, value)
