"""MediaPipe's ObjectDetector takes Flatshot's files as they are, and finds the same."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import flatshot
from flatshot.runtime.edit import edit
from flatshot.runtime.quantize import quantize

SCRIPT = """
import json, sys
import mediapipe
from mediapipe.tasks import python
from mediapipe.tasks.python import vision
options = vision.ObjectDetectorOptions(
    base_options=python.BaseOptions(model_asset_path=sys.argv[1]), score_threshold=0.3)
with vision.ObjectDetector.create_from_options(options) as detector:
    image = mediapipe.Image.create_from_file(sys.argv[2])
    found = detector.detect(image).detections
print(json.dumps([[d.categories[0].score, d.categories[0].category_name,
                   d.bounding_box.origin_y / image.height, d.bounding_box.origin_x / image.width]
                  for d in found]))
"""


@pytest.mark.slow
@pytest.mark.network
def test_it_finds_the_boxes_that_flatshot_finds(data: Path, tmp_path: Path) -> None:
    """Of an input in real numbers and of one of pixels, with the names of classes."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "mediapipe==1.2.3"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode or sys.platform != "linux":
        pytest.skip(f"mediapipe cannot be installed here: {done.stderr[-200:]}")
    images = sorted((data / "coco_val2017_310/val2017").glob("*.jpg"))
    source = (data / "oracle/toco_detect_regular.tflite").read_bytes()
    named = edit(source, labels=[f"class {number}" for number in range(90)])
    small = bytes(quantize(named, images, count=20, input_type="uint8").to_bytes())
    for content in (named, small):
        path = tmp_path / "detector.tflite"
        path.write_bytes(content)
        want = flatshot.Detector(content, score_threshold=0.3)(images[-1])
        command = [str(python), "-c", SCRIPT, str(path), str(images[-1])]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        score, name, top, left = json.loads(told.stdout.splitlines()[-1])[0]
        assert want.names is not None
        assert name == want.names[0]
        # it resizes in another way, and gives whole pixels
        assert abs(score - want.scores[0]) < 0.02
        assert abs(top - want.boxes[0][0]) < 0.01
        assert abs(left - want.boxes[0][1]) < 0.01
