"""A newcomer's first command on a machine that has nothing of ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: nothing to clone from")
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_demo_does_its_own_set_up(tmp_path: Path) -> None:
    """In a fresh clone `make demo` installs what it needs and makes the models."""
    clone = tmp_path / "flatshot"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(
        ["make", "demo", f"PYTHON={sys.executable}"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name for path in (clone / "out" / "demo").iterdir()}
    assert {"tflite_graph.pb", "detect.tflite", "detect_cut.tflite"} <= made
