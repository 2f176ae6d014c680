"""`flatshot serve` as a process: it answers on this machine, and ends when it is told to."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import flatshot
from flatshot.cli.main import run

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A model on disk."""
    return flatshot.convert(flatshot.export(tiny)).save(tmp_path / "tiny.tflite")


def test_it_answers_and_ends(model: Path, photograph: bytes, tmp_path: Path) -> None:
    """It prints its address, answers there, keeps nothing on disk, and ends with Ctrl-C."""
    (tmp_path / "cwd").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "flatshot", "serve", str(model), "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path / "cwd",
        env={**os.environ, "FLATSHOT_HOME": str(tmp_path / "home")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    try:
        line = next(text for text in process.stderr if text.startswith("http://"))
        address = line.split()[0]
        assert httpx.get(f"{address}about").json()["models"][0]["name"] == "tiny.tflite"
        assert httpx.post(f"{address}look", content=photograph).status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert out == ""
    assert list((tmp_path / "cwd").iterdir()) == []


def test_a_port_that_is_taken(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert run(["serve", str(model), "--port", str(other.getsockname()[1])]) == 1
    assert "--port" in capsys.readouterr().err


def test_three_models_are_misuse(model: Path) -> None:
    """One, or two to compare."""
    assert run(["serve", str(model), str(model), str(model)]) == 2
    assert run(["serve"]) == 2
