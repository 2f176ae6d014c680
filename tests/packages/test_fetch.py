"""Downloads: cut, cheated, slowed down and sent elsewhere; what is kept and what is refused."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flatshot.errors import ChecksumError, ConfigError, PackageError
from flatshot.packages.fetch import Patience, _redirected, download, sha256_of
from flatshot.packages.obtain import obtain
from flatshot.packages.sources import parse_source
from tests.packages.conftest import IMPATIENT, sha256
from tests.packages.internet import Internet, Page

DATA = bytes(np.random.default_rng(4).integers(0, 256, 200_000, dtype=np.uint8))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to download to."""
    return tmp_path / "got"


def test_a_file_comes(net: Internet, target: Path) -> None:
    """All of it, with its progress told, and nothing left beside it."""
    told: list[tuple[int, int | None]] = []
    url = net.put("/file", Page(DATA))
    download(url, target, on_bytes=lambda done, total: told.append((done, total)))
    assert target.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert list(target.parent.iterdir()) == [target]


def test_a_length_that_nobody_tells(net: Internet, target: Path) -> None:
    """Without Content-Length the end of the connection is the end."""
    told: list[int | None] = []
    url = net.put("/file", Page(DATA, chunked=True))
    download(url, target, on_bytes=lambda _, total: told.append(total))
    assert target.read_bytes() == DATA
    assert set(told) == {None}


def test_cuts_are_gone_on_after(net: Internet, target: Path) -> None:
    """Each cut costs only what had not come; the server is asked for the rest."""
    url = net.put("/file", Page(DATA, cuts=5, cut_after=30_000))
    download(url, target, patience=IMPATIENT)
    assert target.read_bytes() == DATA
    starts = [None, *(f"bytes={30_000 * n}-" for n in range(1, 6))]
    assert net.asked == [("/file", start) for start in starts]


def test_cuts_without_an_end(net: Internet, target: Path) -> None:
    """A server that always hangs up at once is given up after so many attempts."""
    url = net.put("/file", Page(DATA, cuts=99, cut_after=0))
    with pytest.raises(PackageError, match=r"/file: .*, 3 times"):
        download(url, target, patience=IMPATIENT)
    assert len(net.asked) == 3


def test_what_another_process_left_is_gone_on_with(net: Internet, target: Path) -> None:
    """A part that is there is used where the server says that the file is the same one."""
    url = net.put("/file", Page(DATA, cuts=9, cut_after=10))
    with pytest.raises(PackageError):
        download(url, target, patience=replace(IMPATIENT, slowest=1000))
    assert target.stat().st_size == 30
    net.pages["/file"] = Page(DATA)
    net.asked.clear()
    download(url, target)
    assert target.read_bytes() == DATA
    assert net.asked == [("/file", "bytes=30-")]


def test_a_file_that_changed_meanwhile(net: Internet, target: Path) -> None:
    """Pieces of two versions are never joined: the new one starts over."""
    url = net.put("/file", Page(b"x" * 200_000, cuts=9, cut_after=100))
    with pytest.raises(PackageError):
        download(url, target, patience=replace(IMPATIENT, slowest=1000))
    net.pages["/file"] = Page(DATA, etag='"two"')
    download(url, target)
    assert target.read_bytes() == DATA


def test_a_part_nobody_can_vouch_for(net: Internet, target: Path) -> None:
    """Without a validator or a known hash a part is thrown away."""
    target.write_bytes(b"who knows")
    url = net.put("/file", Page(DATA, etag=None))
    download(url, target)
    assert target.read_bytes() == DATA
    assert net.asked == [("/file", None)]
    target.write_bytes(DATA[:100])
    net.asked.clear()
    download(url, target, trusted=True)
    assert target.read_bytes() == DATA
    assert net.asked == [("/file", "bytes=100-")]


def test_ranges_refused(net: Internet, target: Path, said: pytest.LogCaptureFixture) -> None:
    """A server that cannot resume starts over, and that is said."""
    url = net.put("/file", Page(DATA, ranges=False, cuts=1, cut_after=50_000))
    download(url, target, patience=IMPATIENT)
    assert target.read_bytes() == DATA
    assert "does not resume: starting over" in said.text


def test_a_wrong_range(net: Internet, target: Path) -> None:
    """An answer to another question is not appended."""
    url = net.put("/file", Page(DATA, cuts=1, cut_after=50_000, wrong_range=True))
    download(url, target, patience=IMPATIENT)
    assert target.read_bytes() == DATA


def test_a_part_longer_than_the_file(net: Internet, target: Path) -> None:
    """A range behind the end (416) starts over."""
    target.write_bytes(DATA + b"more")
    url = net.put("/file", Page(DATA))
    download(url, target, trusted=True, patience=IMPATIENT)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (Page(DATA + b"x"), "expected 200000 bytes, it has 200001"),
        (Page(DATA[:-1]), "expected 200000 bytes, it has 199999"),
        (Page(DATA + b"x", chunked=True), "expected 200000 bytes, and more of them come"),
    ],
)
def test_wrong_lengths(net: Internet, target: Path, page: Page, says: str) -> None:
    """Expected and got are named, and nothing is kept of it."""
    url = net.put("/file", page)
    with pytest.raises(ChecksumError, match=says):
        download(url, target, size=len(DATA), patience=IMPATIENT)
    assert not target.exists()


def test_a_file_shorter_than_it_claims(net: Internet, target: Path) -> None:
    """It is a cut, however often one asks."""
    url = net.put("/file", Page(DATA, length=len(DATA) + 5, ranges=False))
    with pytest.raises(PackageError, match="times"):
        download(url, target, patience=replace(IMPATIENT, slowest=10**6))


def test_slow_drips_are_given_up(net: Internet, target: Path) -> None:
    """A server that sends a byte now and then holds us for a bounded time only."""
    url = net.put("/file", Page(DATA, drip=0.05, cuts=0))
    start = time.monotonic()
    with pytest.raises(PackageError, match=r"only \d bytes in 0\.2 s, 3 times"):
        download(url, target, patience=IMPATIENT)
    assert time.monotonic() - start < 5


def test_silence_is_given_up(net: Internet, target: Path) -> None:
    """So does one that sends nothing at all."""
    url = net.put("/file", Page(DATA, drip=30))
    with pytest.raises(PackageError, match="timed out, 1 times"):
        download(url, target, patience=replace(IMPATIENT, silence=0.2, attempts=1))


def test_nobody_there(target: Path) -> None:
    """A port where nobody listens."""
    with pytest.raises(PackageError, match=r"http://127\.0\.0\.1:9/file: .*, 3 times"):
        download("http://127.0.0.1:9/file", target, patience=IMPATIENT)


@pytest.mark.parametrize("status", [404, 403, 410])
def test_refusals_are_final(net: Internet, target: Path, status: int) -> None:
    """A missing page is not asked for twice."""
    url = net.put("/file", Page(status=status))
    with pytest.raises(PackageError, match=f"the server answers {status}"):
        download(url, target, patience=IMPATIENT)
    assert len(net.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_troubles_pass(net: Internet, target: Path, status: int) -> None:
    """A server in trouble is asked again."""
    url = net.put("/file", Page(status=status))
    with pytest.raises(PackageError, match=f"answers {status}.*, 3 times"):
        download(url, target, patience=IMPATIENT)
    assert len(net.asked) == 3


def test_compression_that_was_not_asked_for(net: Internet, target: Path) -> None:
    """Its bytes would not be the file's."""
    url = net.put("/file", Page(DATA, encoding="gzip"))
    with pytest.raises(PackageError, match="compresses"):
        download(url, target, patience=IMPATIENT)


def test_redirects(net: Internet, target: Path) -> None:
    """They are followed, also relative ones."""
    net.put("/file", Page(DATA))
    net.put("/second", Page(redirect="file"))
    url = net.put("/first", Page(redirect=net.url("/second")))
    download(url, target)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    "leads", ["http://example.org/file", "ftp://example.org/", "file:///etc/passwd", "//[1"]
)
def test_redirects_off_https(net: Internet, target: Path, leads: str) -> None:
    """Nobody is sent from a good place to a bad one."""
    url = net.put("/first", Page(redirect=leads))
    with pytest.raises(PackageError, match="which is not https"):
        download(url, target, patience=IMPATIENT)
    assert not target.exists()


@pytest.mark.parametrize("leads", ["http://127.0.0.1/file", "http://example.org/file", "ftp:x"])
def test_redirects_from_https(leads: str) -> None:
    """From https nothing else follows, not even this machine's http."""
    assert _redirected("https://a.org/b/c", "../d") == "https://a.org/d"
    assert _redirected("https://a.org/b", "https://c.org/d") == "https://c.org/d"
    with pytest.raises(PackageError, match=r"https://a\.org/b leads to .* is not https"):
        _redirected("https://a.org/b", leads)


def test_redirects_in_a_circle(net: Internet, target: Path) -> None:
    """They end."""
    url = net.put("/first", Page(redirect="/first"))
    with pytest.raises(PackageError, match="redirected more than 10 times"):
        download(url, target, patience=IMPATIENT)


def test_files_of_the_user(tmp_path: Path) -> None:
    """A `file:` source is copied, for the file may change; one that is not there is named."""
    (tmp_path / "a").write_bytes(DATA)
    work = tmp_path / "work"
    work.mkdir()

    def never(url: str) -> Path:
        raise AssertionError(url)

    source = parse_source(f"file:{tmp_path}/a")
    copy = obtain(source, work, never)
    assert copy.parent == work
    assert copy.read_bytes() == DATA
    assert sha256_of(tmp_path / "a") == sha256(DATA)
    with pytest.raises(PackageError, match="there is no such file"):
        obtain(parse_source(f"file:{tmp_path}/b"), work, never)


def test_the_tools_failure_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip says last, or that npm is missing."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    source = parse_source("pypi:flatshot-no-such-thing==1.0!a")
    with pytest.raises(PackageError, match=r"flatshot-no-such-thing==1\.0!a: ERROR: ") as caught:
        obtain(source, tmp_path, Path)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match="npm is not installed"):
        obtain(parse_source("npm:nothing@1.0!a"), tmp_path, Path)


def test_patience_has_an_end() -> None:
    """By default a mirror that drips is left after minutes, not hours."""
    patience = Patience()
    assert patience.attempts * patience.window <= 300


def test_urls_are_checked_first(target: Path) -> None:
    """Plain http to elsewhere is not even asked for."""
    with pytest.raises(ConfigError, match="not https"):
        download("http://example.org/file", target)
