"""Servers, archives and catalogues that mean harm: attacks 05 to 10, 17, 18 and 23."""

import io
import lzma
import os
import shutil
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatshot.cli.main import run
from flatshot.errors import ConfigError, FlatshotError, FormatError, PackageError
from flatshot.packages import fetch
from flatshot.packages.archive import extract, unpack
from flatshot.packages.catalogue import read_catalogue
from flatshot.packages.fetch import Patience, download
from flatshot.packages.install import Packages
from flatshot.packages.sources import check_url, parse_source, shown
from tests.hostile.children import outcomes
from tests.hostile.server import server
from tests.packages.conftest import catalogue_json, entry_json, part_json, sha256

IMPATIENT = Patience(
    silence=2.0, window=0.5, slowest=10, attempts=2, pause=0.01, headers=0.3, longest=5.0
)
OK = b"HTTP/1.1 200 OK\r\n"


def refused(tmp_path: Path, *answers: bytes, **changes: Any) -> str:
    """How a download is refused that gets these answers, one a request, the last again."""
    left = list(answers)

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    with server(talk) as address, pytest.raises(FlatshotError) as caught:
        download(f"{address}/x", tmp_path / "got", patience=IMPATIENT, **changes)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def drip(connection: socket.socket, request: bytes) -> None:
    """The head of an answer a byte at a time, without an end."""
    connection.sendall(OK)
    while True:
        connection.sendall(b"X: y\r\n")
        time.sleep(0.02)


def go_on(connection: socket.socket, request: bytes) -> None:
    """`100 Continue`, for ever."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.005)


@pytest.mark.parametrize("talk", [drip, go_on])
def test_a_head_without_an_end_is_given_up(
    tmp_path: Path, talk: Callable[[socket.socket, bytes], None]
) -> None:
    """Though each byte comes in time."""
    before = time.monotonic()
    with server(talk) as address, pytest.raises(PackageError, match=r"no whole answer in 0\.3 s"):
        download(f"{address}/x", tmp_path / "got", patience=IMPATIENT)
    assert time.monotonic() - before < 10


def test_a_body_without_an_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says how long it is, a bound of ours holds; nothing of it stays."""
    monkeypatch.setattr(fetch, "MAX_UNTOLD", 100_000)

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK + b"\r\n")
        while True:
            connection.sendall(bytes(50_000))

    with server(talk) as address, pytest.raises(FlatshotError, match="expected 100000 bytes, and"):
        download(f"{address}/x", tmp_path / "got", patience=IMPATIENT, trusted=True)
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_disk_has_room_for_is_not_begun(tmp_path: Path) -> None:
    """What the server says is not what is written; sixty gigabytes may be, where there is room."""
    said = refused(tmp_path, OK + b"Content-Length: 999999999999999\r\n\r\nx")
    assert "are more than the" in said


def test_a_file_that_takes_for_ever_is_given_up(tmp_path: Path) -> None:
    """Each attempt brings something, and none is the last."""

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK + b"Content-Length: 1000000\r\n\r\n" + noise.bytes(20))

    noise = np.random.default_rng(2)
    patience = Patience(slowest=1, attempts=1000, pause=0.001, longest=1.0)
    with server(talk) as address, pytest.raises(PackageError, match="not whole after 1 s"):
        download(f"{address}/x", tmp_path / "got", patience=patience)


CUT = OK + b'ETag: "%s"\r\nContent-Length: 100\r\n\r\nxxxxxxxxxxxxxxxxxxxx'
PART = b"HTTP/1.1 206 P\r\nContent-Range: bytes "
ANSWERS = {
    "digits": (CUT % b"a", PART + b"20-" + b"9" * 5000 + b"/*\r\n\r\n"),
    "total": (CUT % b"a", PART + b"20-99/" + b"9" * 5000 + b"\r\n\r\n"),
    "latin etag": (CUT % b"\xe9\xff", b"HTTP/1.1 404 No\r\n\r\n"),
    "utf-8 etag": (CUT % "\u00e9\u4e2d".encode(), b"HTTP/1.1 404 No\r\n\r\n"),
    "reason": (b"HTTP/1.1 404 \xff\xfe\x1b[2J\r\n\r\n",),
    "length": (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",),
    "long host": (b"HTTP/1.1 302 F\r\nLocation: https://" + b"a" * 300 + b"/\r\n\r\n",),
    "no port": (b"HTTP/1.1 302 F\r\nLocation: https://127.0.0.1:abc/\r\n\r\n",),
    "dots": (b"HTTP/1.1 302 F\r\nLocation: https://a..b/\r\n\r\n",),
    "bytes": (b"HTTP/1.1 302 F\r\nLocation: https://\xff\xfe/\r\n\r\n",),
    "nothing": (b"",),
    "noise": (bytes(range(256)) * 9,),
    "a head of megabytes": (OK + b"X: " + b"y" * (2 << 20),),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_that_cannot_be_are_refused(tmp_path: Path, kind: str) -> None:
    """By one line, at the first attempt and at each later one, and never obeyed by a terminal."""
    for _ in range(2):
        assert refused(tmp_path, *ANSWERS[kind])


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://127.0.0.1:abc/x",
            "https://127.0.0.1:99999/x",
            "https://a..b/x",
            "https://h/\x07",
        ),
        *(
            "https://h/a b",
            "https://\u00e9/",
            "https://" + "a" * 64 + "/",
            "https://[::1/",
            "https:///",
        ),
        "https://" + "a." * 200 + "b/",
    ],
)
def test_urls_that_cannot_be_are_refused(url: str) -> None:
    """Before anything is asked for; in the catalogue, before anything is installed."""
    with pytest.raises(ConfigError):
        check_url(url)
    with pytest.raises(FormatError):
        read_catalogue(catalogue_json(entry_json(part_json(url))), "mine.json")


@pytest.mark.parametrize(
    "url", ["https://h.example./x", "https://[::1]:8/x", "http://localhost:8/"]
)
def test_urls_that_can_be(url: str) -> None:
    """Nothing is said."""
    check_url(url)


@pytest.mark.parametrize("secret", ["s3cret", "s/3cret", "s@3cret", "s:3cret", "s%403cret"])
def test_no_password_is_told_or_kept(
    tmp_path: Path, secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a message nor in a file of ours; the catalogue is the user's own."""
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path))

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK + b"Content-Length: 2\r\n\r\nok")

    with server(talk) as address:
        host = address.removeprefix("http://")
        for end in (address.rpartition(":")[2], "1"):
            url = f"http://me:{secret}@{host.partition(':')[0]}:{end}/x"
            entry = entry_json(part_json(url), name="mine", path="file")
            (tmp_path / "catalogue").mkdir(exist_ok=True)
            (tmp_path / "catalogue" / "a.json").write_bytes(catalogue_json(entry))
            monkeypatch.setattr(
                Packages.__init__, "__kwdefaults__", {"builtins": None, "patience": IMPATIENT}
            )
            run(["install", "mine", "--again"])
    told = capsys.readouterr()
    assert "3cret" not in told.out + told.err
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.parent.name != "catalogue":
            assert b"3cret" not in path.read_bytes(), path


def test_how_urls_are_shown() -> None:
    """Names and passwords are left out, and signs of other places stay."""
    assert shown("https://me:pw@h/x@1") == "https://***@h/x@1"
    assert shown("https://h/x@1?y=z@2") == "https://h/x@1?y=z@2"
    assert shown("npm:@scope/name@1.0!a") == "npm:@scope/name@1.0!a"
    assert str(parse_source("https://me:pw@h/x.zip!a")) == "https://***@h/x.zip!a"


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\0b", "a\ud800b", "a\nb", "a\u202eb"])
@pytest.mark.parametrize("field", ["title", "licence", "source", "tags", "exports", "to", "urls"])
def test_texts_of_a_catalogue_hold_no_control_characters(text: str, field: str) -> None:
    """A terminal would obey them, and paths and variables end at a zero byte."""
    part = part_json("https://h/x")
    changes: dict[str, Any] = {field: text}
    if field in ("to", "urls"):
        part[field] = text if field == "to" else [f"https://h/{text}"]
        changes = {}
    elif field in ("tags", "exports"):
        changes = {field: [text] if field == "tags" else {"X": text}}
    with pytest.raises(FormatError, match=r"mine\.json"):
        read_catalogue(catalogue_json(entry_json(part, **changes)), "mine.json")


@pytest.mark.parametrize("home", ["surrogate", "nul", "export", "escape"])
@pytest.mark.parametrize(
    "arguments", [["find", "mine"], ["install", "mine"], ["env", "mine", "--", "true"]]
)
def test_hostile_catalogues(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: str,
    arguments: list[str],
) -> None:
    """One line, in which nothing is an escape sequence."""
    shutil.copytree(data / "attacks" / "09-catalogue-texts" / home, tmp_path / "home")
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    assert run(arguments) == 1
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
    assert told.err.strip().isprintable()


def tar(*members: tuple[str, bytes], kind: str = "w") -> bytes:
    """A tar of these files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=kind) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def unpacked(tmp_path: Path, content: bytes, **changes: Any) -> list[str]:
    """The names of what comes out."""
    (tmp_path / "archive").write_bytes(content)
    unpack(tmp_path / "archive", tmp_path / "out", **changes)
    return sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*"))


def test_folders_without_end_are_not_made(tmp_path: Path) -> None:
    """Neither deep ones nor many: kilobytes cost folders, which cost time and disk."""
    with pytest.raises(PackageError, match="is no name for a file"):
        unpacked(tmp_path, tar(("a/" * 65 + "f", b"")))
    many = [(f"{n}/" + "a/" * 60 + "f", b"") for n in range(100)]
    with pytest.raises(PackageError, match="it is no honest archive"):
        unpacked(tmp_path, tar(*many, kind="w:gz"))
    made = sum(path.is_dir() for path in (tmp_path / "out").rglob("*"))
    assert made < 1100


def test_honest_archives_of_many_small_files_come_out(tmp_path: Path) -> None:
    """Two thousand labels in fifty folders."""
    members = [(f"labels/{n % 50}/{n}.txt", b"0 1 2 3 4\n") for n in range(2000)]
    assert len(unpacked(tmp_path, tar(*members, kind="w:gz"))) == 2051


@pytest.mark.parametrize("name", ["tarhang-first.tar", "tarhang-skipped.tar"])
def test_members_longer_than_their_archive_end(data: Path, tmp_path: Path, name: str) -> None:
    """In each of the three ways of reading one."""
    path = data / "attacks" / "23-tar-endless-seek" / name
    code = """
from pathlib import Path
from flatshot.packages.archive import extract, unpack
path, out = Path(sys.argv[1]), Path(sys.argv[2])
tell(lambda: unpack(path, out / "1"))
tell(lambda: unpack(path, out / "2", only=["ok"]))
tell(lambda: extract(path, "zz", out / "3"))
"""
    lines = outcomes(code, path, tmp_path, seconds=20)
    assert len(lines) == 3
    assert all(line.startswith("REFUSED PackageError") for line in lines if line != "None")
    assert lines.count("None") <= 1


def test_damaged_xz(data: Path, tmp_path: Path) -> None:
    """One that is damaged, one cut short, one that asks for gigabytes of memory, and sound ones."""
    with pytest.raises(PackageError, match="damaged"):
        unpack(data / "attacks" / "10-damaged-xz" / "a.tar.xz", tmp_path / "a")
    sound = tar(("f", b"x" * 100_000), kind="w:xz")
    assert unpacked(tmp_path, sound) == ["f"]
    with pytest.raises(PackageError, match="damaged"):
        unpacked(tmp_path / "a", sound[:-40])
    plain = tar(("f", b"y" * 100_000))
    two = lzma.compress(plain[:5000]) + bytes(8) + lzma.compress(plain[5000:]) + bytes(4)
    (tmp_path / "b").mkdir()
    assert unpacked(tmp_path / "b", two) == ["f"]
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 30}]
    greedy = lzma.compress(plain, filters=filters)
    (tmp_path / "c").mkdir()
    with pytest.raises(PackageError, match="damaged"):
        unpacked(tmp_path / "c", greedy)


def test_a_member_without_a_name(data: Path, tmp_path: Path) -> None:
    """Python's own reader stumbles over it."""
    path = data / "attacks" / "10-damaged-xz" / "empty-name.zip"
    with pytest.raises(PackageError):
        unpack(path, tmp_path / "a")
    with pytest.raises(PackageError):
        extract(path, "x", tmp_path / "b")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("b"), b"x")
    with pytest.raises(PackageError):
        unpacked(tmp_path, file.getvalue().replace(b"\x01\0\0\0b", b"\x01\0\0\0\0"))


def shared_file(home: Path, source: Path, content: bytes) -> Packages:
    """A home whose catalogue knows the package `mine`: the file `source`, by its hash."""
    part = part_json(f"file:{source}", sha256=sha256(content))
    (home / "catalogue").mkdir(parents=True)
    entry = entry_json(part, name="mine", path="file")
    (home / "catalogue" / "a.json").write_bytes(catalogue_json(entry))
    return Packages(home)


def test_what_is_hashed_is_what_is_installed(tmp_path: Path) -> None:
    """Another user swaps the file all the time."""
    good, evil = os.urandom(1 << 20), os.urandom(1 << 20)
    source, beside = tmp_path / "shared.bin", tmp_path / "beside"
    source.write_bytes(good)
    packages = shared_file(tmp_path / "home", source, good)
    over = threading.Event()

    def flip() -> None:
        while not over.is_set():
            for content in (evil, good):
                beside.write_bytes(content)
                beside.replace(source)

    thread = threading.Thread(target=flip, daemon=True)
    thread.start()
    right = wrong = 0
    try:
        for _ in range(40):
            try:
                found = packages.install(packages.catalogue.names["mine"][0], again=True)
            except PackageError:
                continue
            right += found.path.read_bytes() == good
            wrong += found.path.read_bytes() != good
    finally:
        over.set()
        thread.join()
    assert wrong == 0
    assert right


def test_what_a_killed_installation_left_goes_with_the_next(tmp_path: Path) -> None:
    """Also where the package had its name already, and nothing is installed anew."""
    source = tmp_path / "file"
    source.write_bytes(b"x")
    packages = shared_file(tmp_path / "home", source, b"x")
    (mine,) = packages.catalogue.names["mine"]
    folder = packages.install(mine).folder
    left = folder.with_name(f".{mine.version}.0123abcd.part")
    (left / "work").mkdir(parents=True)
    packages.install(mine)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
