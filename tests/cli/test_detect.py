"""`flatshot detect`, from its arguments to its exit code."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flatshot.cli.detect import image_id
from flatshot.cli.image_arguments import find_images
from flatshot.cli.main import run
from flatshot.demo.detector_files import write_detector
from flatshot.errors import ImageError
from flatshot.runtime import images
from flatshot.runtime.detector import Detector
from tests.runtime.tiny import ANCHORS, Tiny, with_labels


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny detector with labels."""
    path = tmp_path / "detect.tflite"
    path.write_bytes(with_labels(Tiny().bytes(), "cat\ndog\nhen\n"))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a broken one, and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(4)
    for name in ("street_000012.png", "yard.bmp"):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / name)
    (folder / "broken_7.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    (folder / "notes.txt").write_text("not an image")
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """What the files of a folder hold."""
    files = sorted(folder.iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_folder(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, pictures and results; the broken image is passed over and said to be."""
    before = hashes(folder)
    out, results = tmp_path / "out", tmp_path / "new" / "results.json"
    arguments = ["detect", str(model), str(folder), "--output", str(out), "--json", str(results)]
    assert run(arguments) == 0
    said = capsys.readouterr()
    assert hashes(folder) == before
    assert sorted(path.name for path in out.iterdir()) == ["street_000012.png", "yard.bmp.png"]
    with Image.open(out / "street_000012.png") as drawn:
        assert drawn.size == (80, 60)

    lines = said.out.splitlines()
    assert lines[0].split() == ["image", "score", "class", "left", "top", "width", "height"]
    assert all(line.split()[2] in ("cat", "dog", "hen") for line in lines[1:])
    assert "broken_7.jpg" not in said.out
    assert "skipped: " in said.err
    assert "broken_7.jpg: " in said.err
    assert f"{len(lines) - 1} objects in 2 images, 1 skipped" in said.err

    entries = json.loads(results.read_text())
    found = Detector(model)(folder / "street_000012.png")
    mine = [entry for entry in entries if entry["image_id"] == 12]
    assert [entry["score"] for entry in mine] == found.scores.tolist()
    assert [entry["category_id"] for entry in mine] == (found.classes + 1).tolist()
    left, top, right, bottom = found.pixels(80, 60)[0].tolist()
    assert mine[0]["bbox"] == [left, top, right - left, bottom - top]
    assert {entry["image_id"] for entry in entries} == {12, "yard"}


def test_what_is_shown(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From .3 up unless told; what the model holds goes below that."""

    def scores(*options: str) -> list[float]:
        assert run(["detect", str(model), str(folder / "yard.bmp"), *options]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        return [float(line.split()[1]) for line in lines if "nothing" not in line]

    many = ["--max-detections", "200", "--iou-threshold", "1"]
    assert min(scores(*many)) >= 0.3
    low = scores(*many, "--score-threshold", "0.1")
    assert min(low) < 0.3
    assert len(scores("--max-detections", "1")) == 1
    assert run(["detect", str(model), str(folder / "yard.bmp"), "--score-threshold", "1"]) == 0
    assert "nothing" in capsys.readouterr().out


def test_options_reach_the_detector(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways of post-processing print the same; another resize does not."""
    picture = str(folder / "yard.bmp")
    printed: list[str] = []
    for options in (
        ["--postprocess", "op"],
        ["--postprocess", "numpy"],
        ["--resize", "pillow"],
        ["--nms", "fast", "--max-classes-per-detection", "3"],
    ):
        assert run(["detect", str(model), picture, *options]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(set(printed)) == 3


def test_a_cut_model_with_anchors_from_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As .npy or as text; what is no list of anchors is an error."""
    model, picture = tmp_path / "detect_cut.tflite", str(folder / "yard.bmp")
    model.write_bytes(Tiny(cut=True).bytes())
    np.save(tmp_path / "anchors.npy", ANCHORS)
    lines = [", ".join(map(str, row)) for row in ANCHORS.tolist()]
    (tmp_path / "anchors.txt").write_text("\n".join(lines))
    printed = []
    for name in ("anchors.npy", "anchors.txt"):
        assert run(["detect", str(model), picture, "--anchors", str(tmp_path / name)]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "class " in printed[0]
    assert run(["detect", str(model), picture]) == 1
    assert "without its anchors" in capsys.readouterr().err
    (tmp_path / "bad.txt").write_text("1 2 three")
    assert run(["detect", str(model), picture, "--anchors", str(tmp_path / "bad.txt")]) == 1
    assert "bad.txt: no anchors" in capsys.readouterr().err


def test_nothing_readable_is_a_failure(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and no file of results that would look like a result."""
    results = tmp_path / "results.json"
    (tmp_path / "empty").mkdir()
    nowhere = tmp_path / "empty"
    for argument in (folder / "broken_7.jpg", folder / "missing.jpg", folder / "*.gif", nowhere):
        assert run(["detect", str(model), str(argument), "--json", str(results)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "skipped: " in said.err
        assert "0 objects in 0 images" in said.err
    assert not results.exists()


def test_images_are_never_overwritten(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by pictures nor by results."""
    before = hashes(folder)
    assert run(["detect", str(model), str(folder), "--output", str(folder)]) == 1
    assert "holds the images themselves" in capsys.readouterr().err
    picture = str(folder / "yard.bmp")
    assert run(["detect", str(model), picture, "--json", picture]) == 1
    assert "would overwrite one of the images" in capsys.readouterr().err
    assert hashes(folder) == before


def test_two_images_of_one_name(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both pictures are kept, and the id that they share is reported."""
    other = tmp_path / "other"
    other.mkdir()
    twin = other / "street_000012.png"
    twin.write_bytes((folder / "street_000012.png").read_bytes())
    out = tmp_path / "out"
    options = ["--output", str(out), "--json", str(tmp_path / "r.json")]
    assert run(["detect", str(model), str(folder / "street*"), str(twin), *options]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["street_000012-2.png", "street_000012.png"]
    assert "share image_id 12" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--score-threshold", "2"], 2, "2.0 is not in the range 0<=x<=1"),
        (["--threads", "0"], 2, "0 is not in the range x>=1"),
        (["--labels", "none.txt"], 1, "none.txt"),
    ],
)
def test_bad_options(
    model: Path,
    folder: Path,
    options: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Misuse exits 2, a file that is missing 1; both say so on stderr."""
    assert run(["detect", str(model), str(folder), *options]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err.splitlines()[-1]


def test_not_a_detector(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image in the place of the model."""
    assert run(["detect", str(folder / "yard.bmp"), str(folder)]) == 1
    assert "not a TensorFlow Lite model" in capsys.readouterr().err


def test_help_and_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    """Without images it is misuse."""
    assert run(["detect", "--help"]) == 0
    assert "--score-threshold" in capsys.readouterr().out
    assert run(["detect", "model.tflite"]) == 2
    assert "IMAGE" in capsys.readouterr().err


def test_finding_images(folder: Path, tmp_path: Path) -> None:
    """Each once, in order, whatever names it; a bracket in a name is no pattern."""
    odd = tmp_path / "a[1].png"
    odd.write_bytes(b"x")
    found = find_images([str(folder), str(folder / "*.bmp"), str(odd), "no*thing"])
    names = ["broken_7.jpg", "street_000012.png", "yard.bmp", "a[1].png"]
    assert [path.name for path in found.paths] == names
    assert found.passed_over == {".txt": 1}
    assert found.missing == ["no*thing"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("000000000139.jpg", 139),
        ("COCO_val2014_000000000042.jpg", 42),
        ("street.png", "street"),
        ("2nd.png", "2nd"),
    ],
)
def test_image_ids(name: str, wanted: Any) -> None:
    """The digits that end the name, as COCO's files have them."""
    assert image_id(Path(name)) == wanted


def test_folders_are_walked_and_suffixes_are_many(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies below a folder is taken, by any suffix that images have; the rest is told once."""
    rng = np.random.default_rng(4)
    names = ["a.jpg", "b.JFIF", "deep/er/d.ppm", "deep/c.jpe", "deep/e.MPO", "deep/f.tga"]
    for name in (*names, ".hidden/g.jpg", "deep/.h.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {"ppm": "PPM", "tga": "TGA"}.get(name.rpartition(".")[2], "JPEG")
        image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
        image.save(tmp_path / "photos" / name, kind)
    (tmp_path / "photos" / "deep" / "a.xml").touch()
    (tmp_path / "photos" / "LICENSE").touch()
    found = find_images([str(tmp_path / "photos")])
    assert sorted(str(path.relative_to(tmp_path / "photos")) for path in found.paths) == sorted(
        names
    )
    assert found.passed_over == {"": 1, ".xml": 1}
    assert run(["detect", str(model), str(tmp_path / "photos")]) == 0
    said = capsys.readouterr().err
    assert "passed over in folders, as no images: 1 without suffix, 1 .xml" in said
    assert "in 6 images" in said


def test_a_photo_of_a_phone_stands_upright(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Boxes are those of what every viewer shows, and so is the annotated copy."""
    photos = data / "cases" / "12-image-phone"
    detector = write_detector(tmp_path / "demo").parent
    assert run(["convert", str(detector), "-o", str(tmp_path / "demo.tflite")]) == 0
    found = [
        Detector(tmp_path / "demo.tflite")(photos / name) for name in ("phone.jpg", "upright.jpg")
    ]
    assert found[0].classes[:3].tolist() == found[1].classes[:3].tolist()
    # The upright copy was compressed once more.
    np.testing.assert_allclose(found[0].boxes[:3], found[1].boxes[:3], atol=0.02)
    output = tmp_path / "found"
    model, photo = str(tmp_path / "demo.tflite"), str(photos / "phone.jpg")
    assert run(["detect", model, photo, "--output", str(output)]) == 0
    with Image.open(output / "phone.jpg") as copy:
        assert (copy.size, copy.getexif().get(0x0112, 1)) == ((256, 192), 1)


def test_the_suffixes_that_people_reported(data: Path) -> None:
    """All five photos."""
    assert len(find_images([str(data / "cases" / "13-image-suffixes" / "photos")]).paths) == 5


def test_the_deep_images_that_people_reported(data: Path) -> None:
    """16 bits are the 8 bits, the others are refused."""
    folder = data / "cases" / "11-image-deep"
    plain = images.load(folder / "grey_8.png")
    for name in ("grey_16.png", "grey_16.tif"):
        np.testing.assert_array_equal(images.load(folder / name), plain)
    for name in ("grey_32.tif", "grey_float.tif"):
        with pytest.raises(ImageError, match="whose range the file does not tell"):
            images.load(folder / name)
