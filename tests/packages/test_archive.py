"""Archives: what comes out of good ones, and that hostile ones bring nothing anywhere."""

import bz2
import contextlib
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from flatshot.errors import PackageError
from flatshot.packages import archive as archives
from flatshot.packages.archive import extract, unpack

Fill = Callable[[tarfile.TarFile], None]
SQUEEZE: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
}


def add(tar: tarfile.TarFile, name: str, data: bytes = b"data", **fields: object) -> None:
    """Add a member with these fields of its header."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def tar_of(path: Path, fill: Fill) -> Path:
    """A tar.gz at `path`, filled by `fill`."""
    with tarfile.open(path, "w:gz") as tar:
        fill(tar)
    return path


def zip_of(path: Path, *members: tuple[str, bytes]) -> Path:
    """A zip at `path` with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """All files in the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


GOOD = {"top/a.txt": b"a", "top/sub/b.bin": b"b" * 1000}


@pytest.mark.parametrize("kind", ["zip", "tar", "gz", "bz2", "xz"])
def test_good_archives(tmp_path: Path, kind: str) -> None:
    """Every kind is known by its bytes, whatever its name."""
    path = tmp_path / "archive"
    if kind == "zip":
        zip_of(path, ("top/", b""), *GOOD.items())
    else:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            add(tar, "top", b"", type=tarfile.DIRTYPE)
            for name, data in GOOD.items():
                add(tar, name, data, mode=0o4777, uid=0)
        path.write_bytes(SQUEEZE[kind](plain.getvalue()))
    unpack(path, tmp_path / "all")
    assert tree(tmp_path / "all") == GOOD
    assert not (tmp_path / "all/top/a.txt").stat().st_mode & 0o7000, "modes are not taken over"
    unpack(path, tmp_path / "strip", strip=1)
    assert tree(tmp_path / "strip") == {"a.txt": b"a", "sub/b.bin": b"b" * 1000}
    unpack(path, tmp_path / "only", only=["*/sub/*"])
    assert tree(tmp_path / "only") == {"top/sub/b.bin": b"b" * 1000}
    extract(path, "top/a.txt", tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == b"a"
    with pytest.raises(PackageError, match="holds no file 'nothing'"):
        extract(path, "nothing", tmp_path / "none")
    with pytest.raises(PackageError, match="holds no file that matches \\*x"):
        unpack(path, tmp_path / "none", only=["*x"])
    with pytest.raises(PackageError, match="holds no file below 5 folders"):
        unpack(path, tmp_path / "none", strip=5)


def test_npm_s_leading_folder_may_be_left_out(tmp_path: Path) -> None:
    """`models/a` is `package/models/a` in a tarball of npm's."""
    path = tar_of(tmp_path / "a.tgz", lambda tar: add(tar, "package/models/a"))
    extract(path, "models/a", tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == b"data"


def test_links_inside_become_copies(tmp_path: Path) -> None:
    """Symbolic and hard links to files of the archive are those files; no link is made."""

    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "top/early", b"", type=tarfile.SYMTYPE, linkname="sub/../a")
        add(tar, "top/a", b"content")
        add(tar, "top/sub/up", b"", type=tarfile.SYMTYPE, linkname="../a")
        add(tar, "top/hard", b"", type=tarfile.LNKTYPE, linkname="top/a")

    unpack(tar_of(tmp_path / "a.tgz", fill), tmp_path / "out", strip=1)
    names = {"a", "early", "sub/up", "hard"}
    assert tree(tmp_path / "out") == dict.fromkeys(names, b"content")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def files(*names: str) -> Fill:
    """A tar with files of these names in it."""

    def fill(tar: tarfile.TarFile) -> None:
        for name in names:
            add(tar, name)

    return fill


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Fill:
    """A tar with a link in it."""
    return lambda tar: add(tar, name, b"", type=kind, linkname=target)


HOSTILE: dict[str, tuple[Fill, str]] = {
    "up": (lambda tar: add(tar, "../evil"), "leads out"),
    "up in the middle": (lambda tar: add(tar, "a/../../evil"), "leads out"),
    "absolute": (lambda tar: add(tar, "/tmp/evil"), "leads out"),
    "absolute folder": (lambda tar: add(tar, "/evil", b"", type=tarfile.DIRTYPE), "leads out"),
    "folder up": (lambda tar: add(tar, "../evil", b"", type=tarfile.DIRTYPE), "leads out"),
    "drive": (lambda tar: add(tar, "C:/evil"), "leads out"),
    "backslash": (lambda tar: add(tar, "..\\evil"), "no name for a file"),
    "link up": (link("a", "../../evil"), "leads out"),
    "link to root": (link("a", "/etc/passwd"), "leads out"),
    "hard link up": (link("a", "../evil", tarfile.LNKTYPE), "leads out"),
    "hard link to root": (link("a", "/etc/passwd", tarfile.LNKTYPE), "leads out"),
    "link to nothing": (link("a", "b"), "leads to no file"),
    "link to a folder": (link("a", "."), "leads"),
    "fifo": (lambda tar: add(tar, "a", b"", type=tarfile.FIFOTYPE), "is a device"),
    "character device": (lambda tar: add(tar, "a", b"", type=tarfile.CHRTYPE), "is a device"),
    "block device": (lambda tar: add(tar, "a", b"", type=tarfile.BLKTYPE), "is a device"),
    "twice": (files("a", "a"), "two members are called 'a'"),
    "below a file": (files("a", "a/b"), "damaged"),
    "a name too long": (lambda tar: add(tar, "a" * 300), "damaged"),
    "the archive's own place": (lambda tar: add(tar, "."), "holds no file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tars(tmp_path: Path, name: str) -> None:
    """Each is refused whole, in a line, and nothing lies outside the folder."""
    fill, says = HOSTILE[name]
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tar_of(tmp_path / "hostile.tgz", fill)
    with pytest.raises(PackageError, match=says):
        unpack(path, outside / "deep" / "out")
    assert not any("evil" in str(found) for found in tmp_path.rglob("*"))
    assert not Path("/tmp/evil").exists()


def test_a_link_and_then_through_it(tmp_path: Path) -> None:
    """A member below a link's name lands inside or nowhere, for the link is never made."""

    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "a/file", b"inside")
        add(tar, "door", b"", type=tarfile.SYMTYPE, linkname="a")
        add(tar, "door/evil", b"through")

    path = tar_of(tmp_path / "hostile.tgz", fill)
    with pytest.raises(PackageError):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out" / "a" / "evil").exists()


def zip_member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    """A zip member's header with a Unix mode."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (zip_member("../evil"), "leads out"),
        (zip_member("/evil"), "leads out"),
        (zip_member("../evil/"), "leads out"),
        (zip_member("a\\..\\evil"), "no name for a file"),
        (zip_member("link", 0o120777), "is a link or a device"),
        (zip_member("pipe", 0o010644), "is a link or a device"),
        (zip_member("device", 0o020644), "is a link or a device"),
    ],
)
def test_hostile_zips(tmp_path: Path, info: zipfile.ZipInfo, says: str) -> None:
    """The same of zips; links there are refused altogether."""
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as file:
        file.writestr(info, b"/etc/passwd")
    with pytest.raises(PackageError, match=says):
        unpack(tmp_path / "hostile.zip", tmp_path / "out" / "deep")
    assert not any("evil" in str(found) for found in tmp_path.rglob("*"))


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz", "skipped", "many"])
def test_bombs(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more bytes than the archive's size allows are refused before they are written."""
    monkeypatch.setattr(archives, "FLOOR", 1 << 20)
    data, path = bytes(8 << 20), tmp_path / "bomb"
    if kind == "zip":
        zip_of(path, ("a", data))
    elif kind == "many":
        zip_of(path, *((f"{number}", data[: 1 << 20]) for number in range(8)))
    else:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            add(tar, "a", data)
        path.write_bytes(SQUEEZE.get(kind, gzip.compress)(plain.getvalue()))
    only = ["b"] if kind == "skipped" else []
    with pytest.raises(PackageError, match="it is no honest archive"):
        unpack(path, tmp_path / "out", only=only)
    # Compressed to a thousandth; a hundred times the archive's size, or the floor, may come out.
    written = sum(len(content) for content in tree(tmp_path / "out").values())
    assert written <= max(1 << 20, 100 * path.stat().st_size) + (1 << 20)
    if kind != "skipped":
        with pytest.raises(PackageError, match=r"no honest archive|holds no file"):
            extract(path, "b" if kind == "many" else "a", tmp_path / "one")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_without_end(tmp_path: Path, kind: bytes) -> None:
    """Extras that would fill the memory are refused when they are announced."""
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, 1 << 33
    header = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(header + bytes(1 << 20)))
    with pytest.raises(PackageError, match="8589934592 bytes of header"):
        unpack(tmp_path / "a.tgz", tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_in_a_zip(tmp_path: Path, method: int) -> None:
    """LZMA's memory is the archive's to choose; nobody packs models so."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        file.writestr("a", b"data")
    with pytest.raises(PackageError, match="another way than deflate"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_sparse_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes that the archive does not even store count as what they would fill."""
    monkeypatch.setattr(archives, "FLOOR", 1 << 20)
    size = 1 << 40
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": f"{size},0",
               "GNU.sparse.size": str(size), "GNU.sparse.name": "a"}  # fmt: skip
    with tarfile.open(tmp_path / "sparse.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "a", b"", pax_headers=headers)
    with pytest.raises(PackageError):
        unpack(tmp_path / "sparse.tar", tmp_path / "out")


def test_damaged_archives(tmp_path: Path) -> None:
    """Cut or flipped anywhere, an archive is refused by a PackageError or still whole."""
    rng = random.Random(1)
    tar_of(tmp_path / "good.tgz", files(*GOOD))
    zip_of(tmp_path / "good.zip", *GOOD.items())
    for source in (tmp_path / "good.tgz", tmp_path / "good.zip"):
        good = source.read_bytes()
        damaged = [good[:length] for length in range(0, len(good), 11)]
        for _ in range(80):
            flipped = bytearray(good)
            flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
            damaged.append(bytes(flipped))
        for number, data in enumerate(damaged):
            path = tmp_path / f"bad{number}"
            path.write_bytes(data)
            out = tmp_path / f"out-{source.suffix}-{number}"
            with contextlib.suppress(PackageError):
                unpack(path, out)


def test_what_is_no_archive(tmp_path: Path) -> None:
    """A login page, or nothing."""
    for data in (b"<html>please log in</html>", b"", b"PK\x03\x04", b"\x1f\x8b"):
        (tmp_path / "page").write_bytes(data)
        with pytest.raises(PackageError, match="page: "):
            unpack(tmp_path / "page", tmp_path / "out")
