"""Getting one file from one source, bit by bit, and going on where it was cut."""

import hashlib
import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from flatshot.errors import ChecksumError, ConfigError, FormatError, PackageError
from flatshot.formats.files import write_bytes
from flatshot.formats.json_text import parse_json
from flatshot.packages.deadline import Deadline
from flatshot.packages.sources import LOOPBACK, check_url, shown
from flatshot.version import VERSION

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger("flatshot")

# Called with how many bytes are there, and how many there will be, where that is known.
OnBytes = Callable[[int, int | None], None]
MAX_BYTES = 64 << 30
# Of what nobody says how long it is.
MAX_UNTOLD = 2 << 30
# Of the disk that is free, no download takes more than this part.
_MOST_OF_DISK = 0.9
MAX_REDIRECTS = 10
_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
# What may be sent back in a header: an ETag or a date in printable ASCII.
_VALIDATOR = re.compile(r"[ -~]{1,1000}")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """When to give a server up.

    Attributes:
        silence: seconds to wait for a connection, an answer, the next byte.
        headers: seconds in which the whole head of an answer must come.
        longest: seconds that one file may take, all attempts together.
        window: seconds in which `slowest` bytes must come.
        slowest: fewer bytes than that in a window are as good as none.
        attempts: cuts in a row that brought nothing (less than `slowest` bytes).
        pause: seconds before the next attempt; doubled each time.
    """

    silence: float = 30.0
    headers: float = 60.0
    longest: float = 24 * 3600.0
    window: float = 60.0
    slowest: int = 64 << 10
    attempts: int = 4
    pause: float = 1.0


class _CutError(Exception):
    """The connection failed in a way that may pass."""


@dataclass(frozen=True)
class _Wish:
    """What to download, where to, and what is known about it."""

    url: str
    target: Path
    size: int | None
    trusted: bool  # a hash will tell whether pieces of two answers fit

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def validator_file(self) -> Path:
        """Beside the target: what the server called the version that was begun."""
        return self.target.with_name(f"{self.target.name}.json")


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file at `path`, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    trusted: bool = False,
    patience: Patience | None = None,
    on_bytes: OnBytes | None = None,
) -> None:
    """Fetch `url` to `target`; go on with what is there of it, and after each cut.

    Redirects are followed from https to https only. A server that cannot resume starts over.

    Args:
        url: https, or http on this machine.
        target: the file; a part of it that is there must come from the same `url`.
        size: of the whole, in bytes, where it is known.
        trusted: whether the caller checks a hash; if not, a part of it is gone on with only where
            the server says that it is still the same file.
        patience: when to give up.
        on_bytes: called as bytes come.

    Raises:
        PackageError: the server refuses, or does not answer, or too slowly.
        ChecksumError: what comes has another length; the file is removed.
        ConfigError: the URL, or one it leads to, may not be asked for.
        OSError: the disk is full or gone.
    """
    check_url(url)
    patience = patience or Patience()
    wish = _Wish(url, target, size, trusted)
    fruitless, pause = 0, patience.pause
    end = time.monotonic() + patience.longest
    while True:
        if time.monotonic() > end:
            raise PackageError(f"{wish}: not whole after {patience.longest:g} s")
        before = _length(target)
        try:
            _attempt(wish, patience, on_bytes)
            wish.validator_file.unlink(missing_ok=True)
            return
        except ChecksumError:
            _forget(wish)
            raise
        except _CutError as cut:
            if _length(target) - before >= patience.slowest:
                fruitless, pause = 0, patience.pause
                _log.info("%s: %s; going on", wish, cut)
                continue
            fruitless += 1
            if fruitless >= patience.attempts:
                raise PackageError(f"{wish}: {cut}, {fruitless} times") from cut
            _log.info("%s: %s; trying again", wish, cut)
            time.sleep(pause)
            pause *= 2


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _forget(wish: _Wish) -> None:
    wish.target.unlink(missing_ok=True)
    wish.validator_file.unlink(missing_ok=True)


def _attempt(wish: _Wish, patience: Patience, on_bytes: OnBytes | None) -> None:
    """One connection: all of the rest, or a `_CutError`."""
    import httpx

    start, headers = _resumption(wish)
    if wish.size is not None and start == wish.size:
        return
    try:
        with (
            httpx.Client(
                timeout=patience.silence,
                headers={"User-Agent": f"flatshot/{VERSION}"},
                # A proxy of the environment has no business between this machine and itself.
                trust_env=urlsplit(wish.url).hostname not in LOOPBACK,
            ) as client,
            _Answer(client, wish, headers, patience.headers) as response,
        ):
            start, total = _begin(wish, response, start)
            _receive(wish, response, start, total, patience, on_bytes)
    except httpx.HTTPError as error:
        raise _CutError(_reason(error)) from error
    except (httpx.InvalidURL, ValueError) as error:
        # UnicodeError among them: a host, a header that the protocol has no bytes for.
        raise PackageError(f"{wish}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _resumption(wish: _Wish) -> tuple[int, dict[str, str]]:
    """How much there is to go on with, and the headers that ask for the rest."""
    headers = {"Accept-Encoding": "identity"}
    start = _length(wish.target)
    if not start:
        return 0, headers
    try:
        validator = parse_json(wish.validator_file.read_bytes())["validator"]
    except (OSError, FormatError, LookupError, TypeError):
        validator = None
    if not (isinstance(validator, str) and _VALIDATOR.fullmatch(validator)):
        validator = None
    if not isinstance(validator, str) and not wish.trusted:
        _forget(wish)
        return 0, headers
    if isinstance(validator, str):
        headers["If-Range"] = validator
    headers["Range"] = f"bytes={start}-"
    return start, headers


class _Answer:
    """The answer to a GET, after redirects; a context manager that closes it."""

    def __init__(
        self, client: "httpx.Client", wish: _Wish, headers: Mapping[str, str], seconds: float
    ) -> None:
        self._client = client
        self._wish = wish
        self._headers = headers
        self._seconds = seconds
        self._response: httpx.Response | None = None

    def __enter__(self) -> "httpx.Response":
        url = self._wish.url
        for _ in range(MAX_REDIRECTS):
            response = self._ask(url)
            if not response.has_redirect_location:
                self._response = response
                return response
            response.close()
            url = _redirected(url, response.headers["location"])
        raise PackageError(f"{self._wish}: redirected more than {MAX_REDIRECTS} times")

    def _ask(self, url: str) -> "httpx.Response":
        import httpx

        with Deadline(self._seconds) as deadline:
            request = self._client.build_request(
                "GET", url, headers=self._headers, extensions={"trace": deadline.watch}
            )
            try:
                return self._client.send(request, stream=True)
            except httpx.HTTPError as error:
                if deadline.passed:
                    raise _CutError(f"no whole answer in {self._seconds:g} s") from error
                raise

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()


def _redirected(url: str, location: str) -> str:
    """Where an answer from `url` leads.

    Raises:
        PackageError: off https.
    """
    try:
        following = urljoin(url, location)
        check_url(following)
        if url.startswith("https:") and not following.startswith("https:"):
            raise ConfigError("it is not https")
    except (ConfigError, ValueError) as error:
        where = shown(location)
        raise PackageError(f"{shown(url)} leads to {where!r}, which is not https") from error
    return following


def _begin(wish: _Wish, response: "httpx.Response", start: int) -> tuple[int, int | None]:
    """Where the answer begins, and how long the whole is.

    Raises:
        _CutError: try again.
        PackageError: the server refuses for good.
        ChecksumError: the whole has another length.
    """
    status = response.status_code
    if status == 416:
        _forget(wish)
        raise _CutError("the server has no such range")
    if status in (408, 425, 429) or status >= 500:
        raise _CutError(f"the server answers {status} {response.reason_phrase}".strip())
    if status not in (200, 206):
        raise PackageError(f"{wish}: the server answers {status} {response.reason_phrase}".strip())
    if response.headers.get("content-encoding", "identity") != "identity":
        raise PackageError(f"{wish}: the server compresses what it was asked for plain")
    total = _whole(response)
    if status == 206:
        found = re.match(
            r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)$",
            response.headers.get("content-range", ""),
        )
        if not found or int(found[1]) != start:
            _forget(wish)
            raise _CutError("the server sends another range than it was asked for")
        total = None if found[2] == "*" else int(found[2])
    else:
        if start:
            _log.info("%s: the server does not resume: starting over", wish)
        start = 0
        _remember_validator(wish, response)
    if wish.size is not None and total is not None and total != wish.size:
        raise ChecksumError(f"{wish}: expected {wish.size} bytes, it has {total}")
    return start, total if total is not None else wish.size


def _whole(response: "httpx.Response") -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if _LENGTH.fullmatch(text) else None


def _remember_validator(wish: _Wish, response: "httpx.Response") -> None:
    etag = response.headers.get("etag", "")
    validator = (
        etag if etag and not etag.startswith("W/") else response.headers.get("last-modified")
    )
    text = json.dumps({"url": str(wish), "validator": validator})
    write_bytes(wish.validator_file, text.encode())


def _most(wish: _Wish, start: int, total: int | None) -> int:
    """How many bytes are taken, whatever the server says.

    Raises:
        PackageError: it says more than that.
    """
    free = int(_MOST_OF_DISK * shutil.disk_usage(wish.target.parent).free)
    if total is None:
        return min(MAX_UNTOLD, start + free)
    if total > MAX_BYTES or total - start > free:
        raise PackageError(
            f"{wish}: {total} bytes are more than the {min(free, MAX_BYTES)} that there is room for"
        )
    return total


def _receive(
    wish: _Wish,
    response: "httpx.Response",
    start: int,
    total: int | None,
    patience: Patience,
    on_bytes: OnBytes | None,
) -> None:
    done, most = start, _most(wish, start, total)
    window_start, window_bytes = time.monotonic(), 0
    with wish.target.open("ab" if start else "wb") as file:
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > most:
                raise ChecksumError(f"{wish}: expected {most} bytes, and more of them come")
            file.write(chunk)
            if on_bytes is not None:
                on_bytes(done, total)
            window_bytes += len(chunk)
            now = time.monotonic()
            if now - window_start >= patience.window:
                if window_bytes < patience.slowest:
                    raise _CutError(f"only {window_bytes} bytes in {patience.window:g} s")
                window_start, window_bytes = now, 0
    if total is not None and done < total:
        raise _CutError(f"cut after {done} of {total} bytes")
