"""Installing: mirrors, hashes, trust on first use, several processes, and sudden death."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from flatshot.errors import FileError, PackageError
from flatshot.packages.catalogue import Package, parse_query
from flatshot.packages.install import MANIFEST, Packages, Progress
from tests.packages.conftest import (
    IMPATIENT,
    catalogue_json,
    entry_json,
    make_package,
    part_json,
    sha256,
)
from tests.packages.internet import Internet, Page

DATA = b"the weights of a detector" * 1000


def tarball(**members: bytes) -> bytes:
    """A tar.gz of these files in a folder `top`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"top/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def packages(home: Path) -> Packages:
    """The packages of an empty home, and little patience."""
    return Packages(patience=IMPATIENT)


def leftovers(home: Path) -> list[str]:
    """What an installation should have taken away."""
    return [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.name.endswith(".part")
        or (path.parent.name == "downloads" and path.suffix != ".lock")
    ]


def test_a_file_and_an_archive(net: Internet, packages: Packages, home: Path) -> None:
    """Parts come from their places and go to theirs; the manifest tells of them."""
    archive = tarball(a=b"A", b=b"B")
    package = make_package(
        part_json(net.put("/file", Page(DATA)), sha256=sha256(DATA), bytes=len(DATA), to="d/f"),
        part_json(
            net.put("/tar", Page(archive)), sha256=sha256(archive), unpack=True, strip=1, to="."
        ),
        path="d/f",
    )
    assert packages.installed(package) is None
    told: list[Progress] = []
    found = packages.install(package, on_progress=told.append)
    assert found.folder == home / "packages" / "thing" / "1.0"
    assert found.path.read_bytes() == DATA
    assert (found.folder / "a").read_bytes() == b"A"
    assert told[0].package is package
    assert {progress.number for progress in told} == {1, 2}
    manifest = json.loads((found.folder / MANIFEST).read_bytes())
    assert [part["sha256"] for part in manifest["parts"]] == [sha256(DATA), sha256(archive)]
    assert leftovers(home) == []
    assert packages.installed(package) == found
    net.asked.clear()
    assert packages.install(package) == found
    assert net.asked == [], "what is there is not fetched"
    assert packages.install(package, again=True) == found
    assert len(net.asked) == 2


def test_mirrors_in_order(
    net: Internet, packages: Packages, home: Path, said: pytest.LogCaptureFixture
) -> None:
    """Each bad one is passed over with its reason; the first good one ends the search."""
    urls = [
        net.put("/gone", Page(status=404)),
        net.put("/short", Page(DATA[:-1])),
        net.put("/other", Page(DATA[:-1] + b"?")),
        net.put("/good", Page(DATA)),
        net.put("/never", Page(DATA)),
    ]
    package = make_package(part_json(*urls, sha256=sha256(DATA), bytes=len(DATA)))
    found = packages.install(package)
    assert (found.folder / "file").read_bytes() == DATA
    assert [path for path, _ in net.asked] == ["/gone", "/short", "/other", "/good"]
    for reason in ("answers 404", f"expected {len(DATA)} bytes", f"expected sha256 {sha256(DATA)}"):
        assert reason in said.text
    manifest = json.loads((found.folder / MANIFEST).read_bytes())
    assert manifest["parts"][0]["url"] == urls[3]
    assert leftovers(home) == []


def test_no_mirror_is_good(net: Internet, packages: Packages, home: Path) -> None:
    """All reasons in one line, expected and got, and nothing is installed."""
    bad = DATA[:-1] + b"?"
    package = make_package(
        part_json(net.put("/a", Page(status=404)), net.put("/b", Page(bad)), sha256=sha256(DATA))
    )
    with pytest.raises(PackageError) as caught:
        packages.install(package)
    text = str(caught.value)
    assert text.startswith("cannot install thing 1.0: ")
    assert "answers 404" in text
    assert f"expected sha256 {sha256(DATA)}, got {sha256(bad)}" in text
    assert "\n" not in text
    assert packages.installed(package) is None
    assert leftovers(home) == []


def test_what_was_cut_is_gone_on_with_by_the_next_command(
    net: Internet, packages: Packages, home: Path
) -> None:
    """A part of a download survives the command."""
    url = net.put("/file", Page(DATA, cuts=3, cut_after=5))
    package = make_package(part_json(url, sha256=sha256(DATA)))
    with pytest.raises(PackageError):
        packages.install(package)
    net.asked.clear()
    packages.install(package)
    assert net.asked == [("/file", "bytes=15-")]
    assert leftovers(home) == []


def test_trust_on_first_use(
    net: Internet, packages: Packages, home: Path, said: pytest.LogCaptureFixture
) -> None:
    """The first download is said and kept; another one later is refused until it is forgotten."""
    package = make_package(part_json(net.put("/file", Page(DATA))))
    packages.install(package)
    pins = home / "packages" / ".pins" / "thing@1.0.json"
    assert f"trusting what came first, {sha256(DATA)} (kept in {pins})" in said.text
    assert json.loads(pins.read_bytes())["1"]["sha256"] == sha256(DATA)
    said.clear()
    packages.install(package, again=True)
    assert "trusting" not in said.text
    net.put("/file", Page(b"something else"))
    with pytest.raises(PackageError, match="as on the first download") as caught:
        packages.install(package, again=True)
    assert str(pins) in str(caught.value)
    assert packages.install(package).path.is_dir(), "the good one stays"
    pins.unlink()
    packages.install(package, again=True)
    assert json.loads(pins.read_bytes())["1"]["sha256"] == sha256(b"something else")


def test_a_login_page_is_not_what_is_trusted(net: Internet, packages: Packages, home: Path) -> None:
    """What is of no use pins no hash."""
    url = net.put("/tar", Page(b"<html>please log in</html>"))
    package = make_package(part_json(url, unpack=True, to="."))
    with pytest.raises(PackageError, match="damaged archive"):
        packages.install(package)
    net.put("/tar", Page(tarball(a=b"A")))
    assert (packages.install(package).folder / "top" / "a").read_bytes() == b"A"


def test_members_of_what_comes(net: Internet, packages: Packages) -> None:
    """`!MEMBER` is what is hashed; mirrors may pack it differently."""
    archive = tarball(a=DATA)
    url = net.put("/tar", Page(archive))
    plain = net.put("/plain", Page(DATA))
    package = make_package(
        part_json(f"{url}!top/none", f"{url}!top/a", plain, sha256=sha256(DATA), bytes=len(DATA))
    )
    assert (packages.install(package).folder / "file").read_bytes() == DATA


def test_the_user_s_file_stays(packages: Packages, tmp_path: Path) -> None:
    """A `file:` source is copied."""
    (tmp_path / "mine").write_bytes(DATA)
    package = make_package(part_json(f"file:{tmp_path}/mine", sha256=sha256(DATA)))
    assert (packages.install(package).folder / "file").read_bytes() == DATA
    assert (tmp_path / "mine").read_bytes() == DATA


def test_builtins(home: Path) -> None:
    """A function of ours fills the folder; one that is not there is named."""
    packages = Packages(builtins={"made": lambda folder: (folder / "x").write_bytes(b"X")})
    package = make_package(part_json("builtin:made", to="."))
    found = packages.install(package)
    assert (found.folder / "x").read_bytes() == b"X"
    manifest = json.loads((found.folder / MANIFEST).read_bytes())
    (found.folder / MANIFEST).write_text(json.dumps({**manifest, "flatshot": "0.0"}))
    assert packages.installed(package) is None, "another version of Flatshot makes it anew"
    with pytest.raises(PackageError, match="makes only coco-labels, made"):
        packages.install(make_package(part_json("builtin:unmade"), name="other"))


def test_coco_s_labels(home: Path) -> None:
    """They come with us, and both forms say the same."""
    from flatshot.runtime.labels import load_labels

    packages = Packages()
    found = packages.install(packages.catalogue.names["coco-labels"][0])
    names = load_labels(found.path)
    assert names.name(0) == "person"
    assert names.name(89) == "toothbrush"
    lines = (found.folder / "flatlabels.txt").read_text().splitlines()
    assert (len(lines), lines[0], lines[11]) == (90, "person", "12")
    for number, line in enumerate(lines):
        assert line in (names.name(number), str(number + 1))


def test_promises_are_held(net: Internet, packages: Packages) -> None:
    """A package whose parts do not bring what its name stands for is not installed."""
    package = make_package(part_json(net.put("/file", Page(DATA))), path="detect.tflite")
    with pytest.raises(PackageError, match=r"hold no 'detect\.tflite', which it promises"):
        packages.install(package)


@pytest.mark.parametrize("name", ["b", MANIFEST])
def test_parts_in_each_other_s_way(
    net: Internet, packages: Packages, tmp_path: Path, name: str
) -> None:
    """Two parts that bring one file, or our own manifest, are refused."""
    first = net.put("/first", Page(tarball(**{name: b"1"})))
    second = net.put("/second", Page(tarball(**{name: b"2"})))
    package = make_package(
        *(part_json(url, unpack=True, to=".") for url in (first, second)),
    )
    with pytest.raises(PackageError, match="two parts bring"):
        packages.install(package)


def test_a_changed_entry_is_installed_anew(net: Internet, packages: Packages) -> None:
    """A new hash or another shape is; new mirrors, tags or titles are not."""
    url = net.put("/file", Page(DATA))

    def variant(part: dict[str, Any] | None = None, **fields: Any) -> Package:
        return make_package({**part_json(url), **(part or {})}, **fields)

    packages.install(variant())
    same = [
        variant({"sha256": sha256(DATA)}),
        variant({"urls": ["https://example.org/x"]}),
        variant(title="another", tags=["model", "x"]),
    ]
    other = [variant({"sha256": "0" * 64}), variant({"to": "elsewhere"}), variant(version="2")]
    assert all(packages.installed(package) for package in same)
    assert not any(packages.installed(package) for package in other)


def test_a_damaged_manifest_is_no_installation(net: Internet, packages: Packages) -> None:
    """It is installed again, over what is there."""
    package = make_package(part_json(net.put("/file", Page(DATA)), sha256=sha256(DATA)))
    folder = packages.install(package).folder
    for text in ("", "[]", "{}", '{"package": 1, "flatshot": "", "parts": []}'):
        (folder / MANIFEST).write_text(text)
        assert packages.installed(package) is None
    assert packages.install(package).folder == folder
    assert packages.installed(package)


def test_a_home_that_cannot_be_written(tmp_path: Path, net: Internet) -> None:
    """One line that names it."""
    (tmp_path / "home").write_text("a file")
    package = make_package(part_json(net.put("/file", Page(DATA))))
    with pytest.raises(FileError, match=r"cannot install thing 1\.0 in '.*home': "):
        Packages(tmp_path / "home").install(package)


def test_looking_writes_nothing(home: Path) -> None:
    """Only an installation touches the disk."""
    packages = Packages()
    assert packages.all_installed() == []
    assert packages.all_installed(parse_query(["demo"])) == []
    assert not home.exists()


# Other processes: they get the catalogue from the user's file, as a user's would.
SCRIPT = """
import sys
from flatshot.packages.install import Packages
packages = Packages()
print("ready", flush=True)
sys.stdin.readline()
print(packages.install(packages.catalogue.names["thing"][0]).path)
"""


def installer(home: Path, *, wait: bool = True) -> subprocess.Popen[str]:
    """A process that installs `thing` once it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        env={**os.environ, "FLATSHOT_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    if wait:
        assert process.stdout.readline() == "ready\n"
    return process


def publish(home: Path, part: dict[str, Any]) -> None:
    """Put `thing` into the user's catalogue."""
    (home / "catalogue").mkdir(parents=True)
    (home / "catalogue" / "mine.json").write_bytes(catalogue_json(entry_json(part)))


def test_two_processes_at_once(net: Internet, home: Path) -> None:
    """Both end well, one of them fetches, and the result is whole."""
    archive = tarball(**{f"f{number}": os.urandom(20_000) for number in range(20)})
    url = net.put("/tar", Page(archive, cuts=3, cut_after=80_000))
    publish(home, part_json(url, sha256=sha256(archive), unpack=True, strip=1, to="."))
    both = [installer(home), installer(home)]
    ends = []
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        ends.append(out.strip())
    folder = home / "packages" / "thing" / "1.0"
    assert ends == [str(folder)] * 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [MANIFEST, *(f"f{number}" for number in range(20))]
    )
    assert len(net.asked) == 4, "one process fetched, with three cuts"
    assert leftovers(home) == []


@pytest.mark.parametrize("moment", ["download", "unpack"])
def test_kill_9(net: Internet, home: Path, moment: str) -> None:
    """A killed installation leaves nothing that counts as installed; the next one cleans up."""
    members = {f"f{number:04}": os.urandom(500) for number in range(1500)}
    archive = tarball(**members)
    page = Page(archive, drip=0.01 if moment == "download" else 0.0)
    publish(
        home,
        part_json(net.put("/tar", page), sha256=sha256(archive), unpack=True, strip=1, to="."),
    )
    process = installer(home)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    folder = home / "packages" / "thing"
    pattern = "../../downloads/*" if moment == "download" else ".1.0.*.part/work/unpacked/*"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(folder.glob(pattern))) > 2 or (moment == "download" and len(net.asked) > 0
                                                  and any(folder.glob(pattern))):  # fmt: skip
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done too soon"
    packages = Packages(patience=IMPATIENT)
    package = packages.catalogue.names["thing"][0]
    assert packages.installed(package) is None
    assert not (folder / "1.0").exists()
    assert any(folder.glob(".1.0.*.part"))
    page.drip = 0.0
    found = packages.install(package)
    assert len(list(found.folder.iterdir())) == 1501
    assert leftovers(home) == []


def test_whoever_waits_says_so(
    net: Internet, home: Path, packages: Packages, said: pytest.LogCaptureFixture
) -> None:
    """A second installation of one package tells what it waits for, and finds it done."""
    publish(home, part_json(net.put("/file", Page(DATA[:50], drip=0.01)), sha256=sha256(DATA[:50])))
    process = installer(home)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while not net.asked and time.monotonic() < deadline:
        time.sleep(0.005)
    packages.install(packages.catalogue.names["thing"][0])
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "waiting for another process that is installing thing 1.0" in said.text
    assert len(net.asked) == 1
