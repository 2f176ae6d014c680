"""Every command in the README runs, and its Python too."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatshot.demo.tiny import write_tiny_checkpoint
from tests import families2

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

# What is not run here, and what runs it.
ELSEWHERE = {
    "make demo": "test_fresh_clone.py",
    "make test": "this is it",
}


# What fetches a model, and what needs a checkpoint of TensorFlow 2: tests of their own.
FETCHING = "ssd-mobilenet-v3-large-coco-frozen", "photos.tflite"
TENSORFLOW_2 = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8", "fpnlite.tflite"


def blocks(language: str) -> list[str]:
    """The README's code blocks in `language`, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output shown below it, if any."""
    found: list[tuple[str, str]] = []
    for block in blocks("console"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line[2:].split("    #")[0].strip(), ""))
            else:
                command, output = found[-1]
                found[-1] = (command, output + line + "\n")
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's commands need: a checkpoint, an image, a data set."""
    folder = tmp_path_factory.mktemp("readme")
    write_tiny_checkpoint(folder / "ssd_mobilenet_v1_coco")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    (folder / "coco" / "annotations").mkdir(parents=True)
    (folder / "coco" / "val2017").mkdir()
    Image.fromarray(pixels).save(folder / "street.jpg")
    (folder / "photos").mkdir()
    Image.fromarray(pixels).save(folder / "photos" / "garden.jpg")
    Image.fromarray(pixels).save(folder / "coco" / "val2017" / "000000000001.jpg")
    truth = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "width": 160, "height": 120}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 40], "area": 2000,
             "iscrowd": 0}
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate("abc", start=1)],
    }  # fmt: skip
    target = folder / "coco" / "annotations" / "instances_val2017.json"
    target.write_text(json.dumps(truth))
    return folder


def run(workplace: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `command` in the workplace with the tested flatshot first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "FLATSHOT_HOME": str(workplace / "home")}
    return subprocess.run(
        command, cwd=workplace, env=environment, capture_output=True, text=True, check=False
    )


def run_all(workplace: Path, chosen: list[tuple[str, str]]) -> None:
    """Run commands in turn; each exits 0 and prints what the README shows."""
    assert chosen
    for command, output in chosen:
        done = run(workplace, shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert output in done.stdout


def about(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """The commands that name one of `words`."""
    return [pair for pair in commands() if any(word in pair[0] for word in words)]


@pytest.mark.slow
def test_every_command_runs(workplace: Path) -> None:
    """Each command of the README, but for those that have a test of their own."""
    apart = [pair for pair in commands() if pair[0] in ELSEWHERE]
    apart += about(FETCHING) + about(TENSORFLOW_2)
    run_all(workplace, [pair for pair in commands() if pair not in apart])


@pytest.mark.slow
@pytest.mark.network
def test_the_door_of_photos(workplace: Path) -> None:
    """From pip's registry to photos with boxes."""
    run_all(workplace, about(FETCHING))
    assert (workplace / "found" / "garden.jpg").exists()


@pytest.mark.slow
def test_the_door_of_checkpoints(workplace: Path, data: Path) -> None:
    """A directory of TensorFlow 2's zoo; a tiny one stands in for the zoo's."""
    made = families2.build(data, "tiny_fpnlite", workplace)
    made.rename(workplace / TENSORFLOW_2[0])
    run_all(workplace, about(TENSORFLOW_2))
    assert (workplace / "found" / "street.jpg").exists()


@pytest.mark.slow
def test_the_python_runs(workplace: Path) -> None:
    """The README's Python runs as it stands."""
    for block in blocks("python"):
        done = run(workplace, [sys.executable, "-c", block])
        assert done.returncode == 0, done.stderr


def test_every_command_is_known() -> None:
    """The README shows commands, none of which is left out by mistake."""
    programs = {shlex.split(command)[0] for command, _ in commands()}
    assert {"flatshot", "make", "grep"} == programs
    assert set(ELSEWHERE) < {command for command, _ in commands()}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    """Each relative link of the README names a file or folder that is there."""
    assert (ROOT / target).exists()
