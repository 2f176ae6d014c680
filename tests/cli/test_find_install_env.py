"""`flatshot find`, `install` and `env`: what they print, ask and refuse."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flatshot.cli import packages_menu
from flatshot.cli.main import COMMANDS, run
from flatshot.cli.progress import download_progress
from flatshot.packages.catalogue import Package
from tests.packages.conftest import catalogue_json, entry_json, part_json

Capture = pytest.CaptureFixture[str]
# The commands are known whether or not the table of commands lists them yet.
MAIN = (
    "import sys; from flatshot.cli.main import COMMANDS, main; "
    "[COMMANDS.setdefault(n, n) for n in ('find', 'install', 'env', 'run', 'ck')]; main()"
)
# So that control characters are signals.
# What a shell starts in the background ignores Ctrl-C, and so do its children: this one does not.
TAKE_TERMINAL = (
    "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose catalogue knows a few small packages of files."""
    for name in ("find", "install", "env", "run", "ck"):
        if name not in COMMANDS:
            monkeypatch.setitem(COMMANDS, name, name)
    (tmp_path / "data file").write_bytes(b"data")
    part = part_json(f"file:{tmp_path}/data file")
    folder = tmp_path / "home" / "catalogue"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_bytes(
        catalogue_json(
            entry_json(part, name="lib-tensorflow-1.13.1-cpu", version="1.13.1", tags=["lib2"]),
            entry_json(part, name="lib-tensorflow-1.13.1-src-cpu", version="1.13.1", tags=["lib2"]),
            entry_json(
                part,
                name="only",
                tags=["model", "single"],
                path="file",
                exports={"WEIGHTS_FILE": "./file", "TITLE": "it's"},
            ),
        )
    )
    monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_find(capsys: Capture) -> None:
    """A line a package; all tags must match, `-tag` forbids, space and comma are one."""
    assert run(["find", "lib2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        "lib-tensorflow-1.13.1-cpu",
        "lib-tensorflow-1.13.1-src-cpu",
    ]
    assert run(["find", "demo", "-model"]) == 0
    out = capsys.readouterr().out
    assert "demo-scenes" in out
    assert "built in" in out
    assert "demo-detector" not in out
    assert run(["find", "dataset,-demo", "-2014"]) == 0
    out = capsys.readouterr().out
    assert "1.07 GB" in out
    assert "coco-2014-val" not in out
    assert run(["find"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 30


def test_find_what_is_installed(capsys: Capture) -> None:
    """The column says so, `--installed` keeps nothing else, and `--json` says where."""
    assert run(["find", "single", "--installed"]) == 0
    assert capsys.readouterr().err == "no packages\n"
    assert run(["install", "only"]) == 0
    capsys.readouterr()
    assert run(["find", "--installed"]) == 0
    assert [line.split()[:5] for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["only", "1.0", "model", "?", "yes"]
    ]
    assert run(["find", "single", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["installed"].endswith("/packages/only/1.0/file")
    assert len(entry["uid"]) == 16


def test_a_miss_names_what_is_close(capsys: Capture) -> None:
    """One line, exit code 1."""
    for command in (["find", "ssd-mobilnet"], ["install", "ssd-mobilnet"], ["env", "ssd-mobilnet"]):
        assert run(command) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "'ssd-mobilnet' is unknown, ssd-mobilenet" in captured.err
        assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["only"], ["package", "only"], ["--tags=single"], ["package", "--tags=model,single,-lib2"]],
)
def test_install(arguments: list[str], capsys: Capture, home: Path) -> None:
    """By name and by tags, with the word that CK wants or without; the path is all of stdout."""
    assert run(["install", *arguments]) == 0
    assert capsys.readouterr().out == f"{home}/packages/only/1.0/file\n"


def test_install_several_names(capsys: Capture) -> None:
    """A path a line, in their order."""
    assert run(["install", "lib-tensorflow-1.13.1-cpu", "only"]) == 0
    ends = [line.rsplit("/packages/")[1] for line in capsys.readouterr().out.splitlines()]
    assert ends == ["lib-tensorflow-1.13.1-cpu/1.13.1", "only/1.0/file"]


@pytest.mark.parametrize("arguments", [[], ["package"], ["--tags="], ["--tags= "]])
def test_install_nothing(arguments: list[str], capsys: Capture) -> None:
    """Misuse says what to give."""
    assert run(["install", *arguments]) == 2
    assert "give --tags=a,b" in capsys.readouterr().err


def test_several_without_a_terminal(capsys: Capture) -> None:
    """They are listed, nobody is asked; `--quiet` takes the first."""
    assert run(["install", "package", "--tags=lib2"]) == 1
    error = capsys.readouterr().err
    assert "2 packages have tags 'lib2'" in error
    assert "lib-tensorflow-1.13.1-cpu, lib-tensorflow-1.13.1-src-cpu" in error
    assert "--quiet" in error
    assert run(["install", "package", "--tags=lib2", "--quiet"]) == 0
    assert "lib-tensorflow-1.13.1-cpu/" in capsys.readouterr().out


def test_again(capsys: Capture, home: Path, tmp_path: Path) -> None:
    """`--again` takes it anew; what is a file of the user's may change, and is never pinned."""
    assert run(["install", "only"]) == 0
    (tmp_path / "data file").write_bytes(b"other")
    assert run(["install", "only"]) == 0
    place = Path(capsys.readouterr().out.splitlines()[-1])
    assert place.read_bytes() == b"data"
    assert run(["install", "only", "--again"]) == 0
    assert place.read_bytes() == b"other"
    assert "trusting" not in capsys.readouterr().err


def test_env_prints_exports(capsys: Capture, home: Path) -> None:
    """A POSIX shell understands them, whatever the values hold."""
    run(["install", "only"])
    capsys.readouterr()
    assert run(["env", "single"]) == 0
    out = capsys.readouterr().out
    assert f"export CK_ENV_TENSORFLOW_MODEL_DIR={home}/packages/only/1.0\n" in out
    script = (
        f'{out}\nprintf "%s|%s" "$CK_ENV_TENSORFLOW_MODEL_TITLE" "$CK_ENV_COMPILER_PYTHON_FILE"'
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"it's|{sys.executable}"


def test_env_of_what_is_not_installed(capsys: Capture) -> None:
    """What would bring it is named; nothing is installed behind one's back."""
    assert run(["env", "single"]) == 1
    assert "`flatshot install` brings only" in capsys.readouterr().err


def test_env_takes_what_is_installed(capsys: Capture, home: Path) -> None:
    """Of several that match, the installed one is no choice; of two, one must say."""
    run(["install", "lib-tensorflow-1.13.1-src-cpu"])
    capsys.readouterr()
    assert run(["env", "lib2"]) == 0
    assert "lib-tensorflow-1.13.1-src-cpu" in capsys.readouterr().out
    run(["install", "lib-tensorflow-1.13.1-cpu"])
    capsys.readouterr()
    assert run(["env", "lib2"]) == 1
    assert run(["env", "lib2", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["env", "lib2", "-lib-tensorflow-1.13.1-cpu"]) == 0
    assert "src-cpu" in capsys.readouterr().out


def test_env_runs_a_command(capfd: pytest.CaptureFixture[str], home: Path) -> None:
    """What stands after `--` is the command's own, options too; its exit code is ours."""
    run(["install", "only"])
    capfd.readouterr()
    script = 'echo "$CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE" "$@"; exit 3'
    assert run(["env", "single", "--", "sh", "-c", script, "x", "--quiet", "--", "-y"]) == 3
    assert capfd.readouterr().out == f"{home}/packages/only/1.0/file --quiet -- -y\n"
    assert run(["env", "single", "--", "sh", "-c", "kill -9 $$"]) == 128 + 9
    assert run(["env", "single", "--", "no-such-command"]) == 1
    assert "cannot run 'no-such-command'" in capfd.readouterr().err
    assert run(["env", "single", "--"]) == 2
    assert run(["env", "single", "--shell", "--", "ls"]) == 2


def test_env_starts_a_shell(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The user's own; it says that it is a new one."""
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "in $CK_ENV_TENSORFLOW_MODEL_NAME"\nexit 5\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    run(["install", "only"])
    capfd.readouterr()
    assert run(["env", "single", "--shell"]) == 5
    captured = capfd.readouterr()
    assert captured.out == "in only\n"
    assert "a new shell" in captured.err


def test_the_bar_shows_how_far_it_is(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal only, one bar a part."""
    from flatshot.packages.install import Packages, Progress

    with download_progress() as nothing:
        assert nothing is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    package = Packages().catalogue.names["coco-2017-val"][0]
    with download_progress() as on_progress:
        assert on_progress is not None
        for done in (0, 50, 100):
            on_progress(Progress(package, 2, done, 100))
        on_progress(Progress(package, 1, 7, None))
    with download_progress(quiet=True) as nothing:
        assert nothing is None


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, arguments: list[str]) -> None:
        self._fd, theirs = pty.openpty()
        # Not pty.fork(): from Python 3.12 on it warns where there are threads, as in pytest-xdist.
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL + MAIN, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read until `text` is shown."""
        deadline = time.monotonic() + 30
        while text not in self.shown and time.monotonic() < deadline:
            if not self._read():
                break
        assert text in self.shown, self.shown

    def say(self, text: str) -> None:
        """Type it."""
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """Read all the rest, and give the exit code."""
        while self._read():
            pass
        os.close(self._fd)
        return self._process.wait(timeout=30)

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], 30)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)


MENU = """
More than one package or version found:

 0) lib-tensorflow-1.13.1-cpu  Version 1.13.1  (d39ca93cdba7a3cf)
 1) lib-tensorflow-1.13.1-src-cpu  Version 1.13.1  (38c8f5b1b1c4bd4a)

Please select the package to install [ hit return for "0" ]: """


def uid(name: str) -> str:
    """What the menu shows of a package of version 1.13.1."""
    import hashlib

    return hashlib.sha256(f"{name}@1.13.1".encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("answers", "code", "chosen"),
    [
        (["\n"], 0, "lib-tensorflow-1.13.1-cpu/"),
        (["1\n"], 0, "lib-tensorflow-1.13.1-src-cpu/"),
        (["7\n", "x\n", "1\n"], 0, "lib-tensorflow-1.13.1-src-cpu/"),
        (["\x04"], 130, None),
        (["\x03"], 130, None),
    ],
    ids=["return", "1", "nonsense first", "end", "ctrl-c"],
)
def test_the_menu(answers: list[str], code: int, chosen: str | None, home: Path) -> None:
    """On a terminal the original's menu, word for word; only numbers of it are taken."""
    terminal = Terminal(["install", "package", "--tags=lib2"])
    menu = MENU.replace("d39ca93cdba7a3cf", uid("lib-tensorflow-1.13.1-cpu"))
    menu = menu.replace("38c8f5b1b1c4bd4a", uid("lib-tensorflow-1.13.1-src-cpu"))
    terminal.until(menu)
    for number, answer in enumerate(answers):
        terminal.say(answer)
        if number < len(answers) - 1:
            terminal.until(f"{answer.strip()!r} is none of them: give a number from 0 to 1")
    assert terminal.end() == code
    if chosen is not None:
        assert f"{home}/packages/{chosen}" in terminal.shown
    else:
        assert not (home / "packages").exists()


def test_a_terminal_is_offered_what_is_missing(home: Path) -> None:
    """`env` installs what is not there if the user wants it."""
    terminal = Terminal(["env", "single"])
    terminal.until("only 1.0 is not installed: install it? [Y/n]")
    terminal.say("n\n")
    assert terminal.end() == 130
    terminal = Terminal(["env", "single"])
    terminal.until("install it?")
    terminal.say("\n")
    assert terminal.end() == 0
    assert "export CK_ENV_TENSORFLOW_MODEL_NAME=only" in terminal.shown


def test_the_demo_s_packages_need_no_network(capsys: Capture, home: Path) -> None:
    """They are a checkpoint that can be exported, and a data set that can be scored."""
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.formats.checkpoint import Checkpoint

    assert run(["install", "demo-detector", "demo-scenes"]) == 0
    detector, scenes = map(Path, capsys.readouterr().out.splitlines())
    assert (detector / "pipeline.config").is_file()
    assert Checkpoint(detector)
    assert len(CocoDataset(scenes)) == packages_menu.DEMO_SCENES


def test_the_library_reads_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only one of stdin and stderr is a terminal nobody is asked."""
    chosen: Callable[..., Package] = packages_menu.choose
    from flatshot.errors import PackageError
    from flatshot.packages.install import Packages

    packages = Packages().catalogue.packages[:2]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with pytest.raises(PackageError, match="2 packages have tags"):
        chosen(packages, "a", quiet=False)
