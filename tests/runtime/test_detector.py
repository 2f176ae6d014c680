"""The detector on tiny models of every kind, and on real ones against reference detections."""

import io
import json
import logging
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flatshot.errors import ConfigError, FileError, ImageError, ModelError
from flatshot.formats import normalization, tflite
from flatshot.formats.custom_options import write_options
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.formats.tflite import Builtin
from flatshot.formats.tflite_patch import replace_custom_options
from flatshot.runtime import images
from flatshot.runtime.detections import Detections
from flatshot.runtime.detector import Detector
from flatshot.runtime.labels import Labels
from tests.runtime.tiny import ANCHORS, OPTIONS, Builder, Tiny, with_labels

PIXELS = np.random.default_rng(5).integers(0, 256, (8, 6, 3), np.uint8)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the library has to say, even after a command has redirected it."""
    monkeypatch.setattr(logging.getLogger("flatshot"), "propagate", True)
    return caplog


def assert_equal(got: Detections, want: Detections) -> None:
    """All fields, to the bit."""
    np.testing.assert_array_equal(got.scores, want.scores)
    np.testing.assert_array_equal(got.classes, want.classes)
    np.testing.assert_array_equal(got.boxes, want.boxes)
    assert got.names == want.names


@pytest.mark.parametrize("nms", ["regular", "fast"])
@pytest.mark.parametrize("several", [1, 2, 7])
@pytest.mark.parametrize(
    "tiny",
    [
        Tiny(),
        Tiny(dtype=np.uint8),
        Tiny(order=(2, 0, 3, 1)),
        Tiny(order=(3, 2, 1, 0), signature=True),
        Tiny(anchors="float16"),
        Tiny(shape=(1, 8, 6, 1)),
    ],
    ids=["float", "uint8", "TF2 order", "reversed", "float16 anchors", "grey"],
)
def test_numpy_and_operator_agree(tiny: Tiny, several: int, nms: Any) -> None:
    """On models of every kind, whatever the order of their outputs."""
    settings: dict[str, Any] = {
        "nms": nms,
        "score_threshold": 0.5,
        "max_detections": 7,
        "max_classes_per_detection": several,
    }
    here = Detector(tiny.bytes(), **settings)
    there = Detector(tiny.bytes(), postprocess="op", **settings)
    assert (here.postprocess, there.postprocess) == ("numpy", "op")
    assert len(here(PIXELS)) > 2
    if several == 1 or nms == "regular":
        assert_equal(here(PIXELS), there(PIXELS))
    else:
        # With several classes a box, the operator leaves the order of equal scores open.
        np.testing.assert_array_equal(here(PIXELS).scores, there(PIXELS).scores)


def test_what_is_given_wins_and_what_is_left_out_stays() -> None:
    """In both ways of post-processing; the file's own settings stay known."""
    model = Tiny().bytes()
    baked = PostProcessSettings.from_options(OPTIONS)
    for way in ("op", "numpy"):
        plain = Detector(model, postprocess=way)
        assert plain.settings == plain.baked == baked
        given = Detector(
            model,
            postprocess=way,
            nms="fast",
            score_threshold=0.5,
            iou_threshold=0.25,
            max_detections=2,
            detections_per_class=9,
            max_classes_per_detection=1,
            num_classes=4,
            scale_y=1.0,
            scale_x=2.0,
            scale_h=3.0,
            scale_w=4.0,
        )
        assert given.baked == baked
        assert given.settings == PostProcessSettings(
            use_regular_nms=False,
            nms_score_threshold=0.5,
            nms_iou_threshold=0.25,
            max_detections=2,
            detections_per_class=9,
            max_classes_per_detection=1,
            num_classes=4,
            y_scale=1.0,
            x_scale=2.0,
            h_scale=3.0,
            w_scale=4.0,
        )
        found = given(PIXELS)
        assert len(found) == 2
        # Without a background, the best of 144 scores belongs to class (its place modulo 4).
        values = given.prepare(PIXELS).ravel()
        assert found.classes[0] == int(np.argmax(values)) % 4


def test_settings_as_a_whole() -> None:
    """In place of all that the model holds, with single changes over them."""
    whole = PostProcessSettings.usual(3, score_threshold=np.float32(0.5))
    for model in (Tiny().bytes(), Tiny(options=OPTIONS | {"max_detections": 3}).bytes()):
        assert Detector(model, settings=whole).settings == whole
        changed = Detector(model, settings=whole, nms="fast", max_detections=np.int64(4))
        assert changed.settings == whole.override(nms="fast", max_detections=4)
    two: Any = np.int64(2)
    assert Detector(Tiny().bytes(), threads=two).threads == 2
    with pytest.raises(ConfigError, match="score_treshold; did you mean score_threshold"):
        Detector(Tiny().bytes(), score_treshold=0.5)
    with pytest.raises(ConfigError, match="nms_score_threshold is 'abc'; give a number"):
        Detector(Tiny().bytes(), score_threshold="abc")


@pytest.mark.parametrize("way", ["numpy", "op"])
def test_zero_detections_per_class_beside_the_fast_kind(way: Any) -> None:
    """As in files of Google's own: with the regular kind it finds what a file with 100 finds."""
    zero = OPTIONS | {"use_regular_nms": False, "detections_per_class": 0}
    model, usual = Tiny(options=zero).bytes(), Tiny().bytes()
    assert_equal(
        Detector(model, nms="regular", postprocess=way)(PIXELS),
        Detector(usual, postprocess=way)(PIXELS),
    )
    assert_equal(
        Detector(model, postprocess=way)(PIXELS),
        Detector(usual, nms="fast", postprocess=way)(PIXELS),
    )


def test_settings_of_a_file_that_the_operator_would_refuse_can_be_mended(log: Any) -> None:
    """A missing overlap threshold reads as 0, which nothing can run with."""
    model = Tiny(options={k: v for k, v in OPTIONS.items() if "iou" not in k}).bytes()
    with pytest.raises(ConfigError, match=r"nms_iou_threshold is 0\.0"):
        Detector(model)
    detector = Detector(model, iou_threshold=0.5)
    assert detector.baked is None
    assert "cannot be used as they are" in log.text
    assert_equal(detector(PIXELS), Detector(Tiny().bytes())(PIXELS))


def test_a_cut_model_needs_anchors() -> None:
    """From the caller or from its own metadata; then it finds what the whole one finds."""
    whole = Detector(Tiny().bytes())(PIXELS)
    cut = Tiny(cut=True).bytes()
    with pytest.raises(ModelError, match="without its anchors; pass them as anchors="):
        Detector(cut)
    with pytest.raises(ConfigError, match="no post-processing operator"):
        Detector(cut, anchors=ANCHORS, postprocess="op")
    with pytest.raises(ConfigError, match=r"anchors have shape \(35, 4\); the model has 36"):
        Detector(cut, anchors=ANCHORS[:35])
    with pytest.raises(ConfigError, match="finite"):
        Detector(cut, anchors=ANCHORS * np.nan)
    options = {"score_threshold": 0.25, "iou_threshold": 0.5, "max_detections": 10}
    given = Detector(cut, anchors=ANCHORS, **options)  # type: ignore[arg-type]
    assert given.baked is None
    assert given.settings.num_classes == 3
    assert_equal(given(PIXELS), whole)
    carried = Detector(Tiny(cut=True, carried=True).bytes())
    assert carried.baked == PostProcessSettings.from_options(OPTIONS)
    assert_equal(carried(PIXELS), whole)


def test_a_cut_model_of_int8() -> None:
    """The operator refuses int8; NumPy takes it, as what the integers stand for."""
    small = Detector(Tiny(dtype=np.uint8, cut=True).bytes(), anchors=ANCHORS, score_threshold=0.5)
    signed = Detector(Tiny(dtype=np.int8, cut=True).bytes(), anchors=ANCHORS, score_threshold=0.5)
    assert signed.input_dtype == np.int8
    np.testing.assert_array_equal(
        signed.prepare(PIXELS).astype(int) + 128, small.prepare(PIXELS).astype(int)
    )
    assert_equal(signed(PIXELS), small(PIXELS))


def test_raw_scores_that_are_no_probabilities_are_refused() -> None:
    """A model cut before its sigmoid would make a threshold meaningless."""
    build = Builder()
    image = build.tensor("image", (1, 8, 6, 3))
    shape = build.tensor("shape", (3,), np.int32, np.array([1, 36, -1], np.int32))
    outputs = [build.tensor(name, (1, 36, 4)) for name in ("box_encodings", "class_predictions")]
    for output in outputs:
        build.operator(Builtin.RESHAPE, [image, shape], [output])
    detector = Detector(build.build([image], outputs), anchors=ANCHORS)
    with pytest.raises(ModelError, match=r"run from -1 to -1, so they are no probabilities"):
        detector(np.zeros((8, 6, 3), np.uint8))


def test_the_operator_is_used_where_numpy_cannot_read() -> None:
    """Computed anchors, or outputs that go on into other operators."""
    computed = Detector(Tiny(anchors="computed").bytes())
    assert computed.postprocess == "op"
    assert_equal(computed(PIXELS), Detector(Tiny().bytes())(PIXELS))
    with pytest.raises(ConfigError, match="cannot be read; use the operator"):
        Detector(Tiny(anchors="computed").bytes(), postprocess="numpy")
    hidden = Detector(Tiny(hidden=True).bytes(), postprocess="op")
    assert_equal(hidden(PIXELS), Detector(Tiny().bytes())(PIXELS))


def test_slots_past_the_count_are_never_read() -> None:
    """Whatever the operator left there."""
    detector = Detector(Tiny().bytes(), postprocess="op", max_classes_per_detection=2)
    raw = detector.network(detector.prepare(PIXELS))
    count = int(raw[3][0])
    assert 0 < count < raw[2].size
    raw[0][0, count:], raw[1][0, count:], raw[2][0, count:] = np.nan, -5, np.nan
    assert len(detector.finish(raw)) == count
    raw[3][0] = 0
    assert len(detector.finish(raw)) == 0


def test_degenerate_boxes_do_not_end_the_run() -> None:
    """The operator fails on one; the message says what copes."""
    flipped = ANCHORS.copy()
    flipped[3, 2] *= -1
    found = Detector(Tiny(cut=True).bytes(), anchors=flipped)(PIXELS)
    assert len(found) > 0
    build = Builder()
    image = build.tensor("image", (1, 8, 6, 3))
    shape = build.tensor("shape", (3,), np.int32, np.array([1, 36, -1], np.int32))
    raw = build.tensor("raw", (1, 36, 4))
    build.operator(Builtin.RESHAPE, [image, shape], [raw])
    anchors = build.tensor("anchors", (36, 4), value=flipped)
    model = build.build([image], build.postprocess([raw, raw, anchors], OPTIONS))
    with pytest.raises(ModelError, match=r"LiteRT fails: .*postprocess='numpy' may cope"):
        Detector(model, postprocess="op")(PIXELS)
    assert len(Detector(model)(PIXELS)) > 0


def test_prepare() -> None:
    """float32 runs from -1 to 1, uint8 as it is, grey by ITU-R 601 as Pillow has it."""
    from PIL import Image

    ends = np.zeros((8, 6, 3), np.uint8)
    ends[4:] = 255
    values = Detector(Tiny().bytes()).prepare(ends)
    assert values.shape == (1, 8, 6, 3)
    assert values.dtype == np.float32
    assert set(values.ravel().tolist()) == {-1.0, 1.0}
    np.testing.assert_array_equal(Detector(Tiny(dtype=np.uint8).bytes()).prepare(PIXELS)[0], PIXELS)
    for resize in ("tensorflow", "pillow", "opencv"):
        grey = Detector(Tiny(dtype=np.uint8, shape=(1, 8, 6, 1)).bytes(), resize=resize)
        want = np.asarray(Image.fromarray(PIXELS).convert("L"))
        np.testing.assert_array_equal(grey.prepare(PIXELS)[0, :, :, 0], want)


def test_images_of_every_form(tmp_path: Path) -> None:
    """A path, bytes and an array find the same; others are errors that say what is asked for."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    (tmp_path / "it.png").write_bytes(file.getvalue())
    detector = Detector(Tiny().bytes())
    want = detector(PIXELS)
    for image in (file.getvalue(), tmp_path / "it.png", str(tmp_path / "it.png")):
        assert_equal(detector(image), want)
    for bad in (PIXELS.astype(np.float32), PIXELS[:, :, 0], PIXELS[:0]):
        with pytest.raises(ImageError, match="must be uint8"):
            detector(bad)


def test_models_of_every_form(tmp_path: Path) -> None:
    """A path, bytes, a view, or whatever gives bytes; the hash is that of the file."""
    import hashlib

    model = Tiny().bytes()

    class Converted:
        def to_bytes(self) -> memoryview:
            return memoryview(model)

    (tmp_path / "detect.tflite").write_bytes(model)
    for form in (tmp_path / "detect.tflite", model, memoryview(model), Converted()):
        assert Detector(form).sha256 == hashlib.sha256(model).hexdigest()
    with pytest.raises(FileError, match=r"missing\.tflite"):
        Detector(tmp_path / "missing.tflite")
    with pytest.raises(ConfigError, match="not float"):
        Detector(3.5)  # type: ignore[arg-type]


def not_a_detector() -> list[Any]:
    """Models that are something else, and what the message says of them."""
    build = Builder()
    source, result = build.tensor("x", (1, 8, 6, 3)), build.tensor("probabilities", (1, 8, 6, 3))
    build.operator(Builtin.LOGISTIC, [source], [result])
    classifier = build.build([source], [result])
    build = Builder()
    source, result = build.tensor("tokens", (1, 128), np.int32), build.tensor("logits", (1, 2))
    text = build.build([source], [result])
    return [
        (b"", "an empty file"),
        (b"PK\x03\x04 something else", "a ZIP archive.*unpack it"),
        (Tiny().bytes()[:500], "damaged TensorFlow Lite model"),
        (classifier, r"neither the operator .* outputs: probabilities float32 \[1, 8, 6, 3\]"),
        (text, r"of images.*inputs: tokens int32 \[1, 128\]"),
        (Tiny(shape=(2, 8, 6, 3)).bytes(), r"must be float32.* of shape \[1, height"),
        (Tiny(shape=(1, 8, 6, 2)).bytes(), r"must be float32.* of shape \[1, height"),
    ]


@pytest.mark.parametrize(("model", "message"), not_a_detector())
def test_what_is_no_detector(model: bytes, message: str, tmp_path: Path) -> None:
    """The message names the file and says what it has."""
    path = tmp_path / "other.tflite"
    path.write_bytes(model)
    with pytest.raises(ModelError, match=rf"other\.tflite: no detector.*{message}"):
        Detector(path)


def test_what_litert_refuses() -> None:
    """Its reason is passed on."""
    model = Tiny(dtype=np.int8).bytes()  # the operator does not take int8
    with pytest.raises(ModelError, match="LiteRT"):
        Detector(model, postprocess="op")(PIXELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": 0}, "threads is 0"),
        ({"nms": "soft"}, "nms is 'soft'; there are regular, fast"),
        ({"resize": "area"}, "resize is 'area'"),
        ({"postprocess": "gpu"}, "postprocess is 'gpu'; there are auto, op, numpy"),
        ({"score_threshold": 1.5}, "nms_score_threshold is 1.5"),
        ({"iou_threshold": 0}, "nms_iou_threshold is 0"),
        ({"max_detections": 0}, "max_detections is 0"),
        ({"num_classes": 90}, "num_classes is 90, and the model has 4 columns"),
    ],
)
def test_options_out_of_range(change: dict[str, Any], message: str) -> None:
    """Refused before anything runs."""
    with pytest.raises(ConfigError, match=message):
        Detector(Tiny().bytes(), **change)


def test_names(tmp_path: Path, log: Any) -> None:
    """Packed into the model, or given; a list of another length is reported."""
    packed = with_labels(Tiny().bytes(), "???\ncat\ndog\nhen\n")
    found = Detector(packed, postprocess="op", max_detections=4)(PIXELS)
    assert found.names == tuple(("cat", "dog", "hen")[c] for c in found.classes)
    assert "labels" not in log.text
    (tmp_path / "map.pbtxt").write_text("item { id: 2 name: 'hound' }")
    given = Detector(packed, labels=tmp_path / "map.pbtxt", max_detections=4)(PIXELS)
    assert set(given.names or ()) <= {"class 0", "hound", "class 2"}
    assert "the labels go up to class 2 and the model has 3" in log.text
    assert Detector(packed, labels=Labels({2: "c"})).labels == Labels({2: "c"})
    assert Detector(Tiny().bytes())(PIXELS).names is None


def test_forks_work_side_by_side() -> None:
    """Each with its own interpreter; the model's bytes are not copied."""
    first = Detector(Tiny().bytes(), score_threshold=0.5)
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (20 + i, 30, 3), np.uint8) for i in range(16)]
    want = [first(image) for image in images]
    got: dict[int, list[Detections]] = {}

    def work(number: int, detector: Detector) -> None:
        got[number] = [detector(image) for image in images * 5]

    forks = [first.fork() for _ in range(3)]
    threads = [threading.Thread(target=work, args=item) for item in enumerate(forks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in got.values():
        for found, expected in zip(results, want * 5, strict=True):
            assert_equal(found, expected)


def test_a_fork_has_as_many_threads_as_it_is_told() -> None:
    """Or as many as the detector that it is made from, which stays as it is."""
    first = Detector(Tiny().bytes(), threads=2)
    assert first.fork().threads == 2
    assert first.fork(threads=1).threads == 1
    assert first.threads == 2
    assert_equal(first.fork(threads=3)(PIXELS), first(PIXELS))
    for bad in (0, -1, True, 1.5):
        with pytest.raises(ConfigError, match="threads is"):
            first.fork(threads=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("nms", ["regular", "fast"])
@pytest.mark.parametrize("way", ["numpy", "op"])
@pytest.mark.parametrize("part", ["boxes", "scores"])
def test_what_is_not_a_number_is_an_error_of_the_model(part: str, way: Any, nms: Any) -> None:
    """A broken model is named; it does not look like one that finds nothing."""
    detector = Detector(Tiny().bytes(), nms=nms, score_threshold=0.5, postprocess=way)
    raw = detector.network(detector.prepare(PIXELS))
    assert len(detector.finish(raw)) > 2
    # The operator puts out boxes, classes, scores; the network, encodings and predictions.
    place = 0 if part == "boxes" else 2 if way == "op" else 1
    broken = list(raw)
    broken[place] = np.full_like(raw[place], np.nan)
    with pytest.raises(ModelError, match=r"the model: .* not numbers"):
        detector.finish(tuple(broken))


def test_one_score_that_is_not_a_number() -> None:
    """Among hundreds, and even where it is nobody's best."""
    for cut in (False, True):
        detector = Detector(Tiny(cut=cut).bytes(), anchors=ANCHORS)
        boxes, scores = detector.network(detector.prepare(PIXELS))
        scores = scores.copy()
        scores[0, 17, 0] = np.nan
        with pytest.raises(ModelError, match="raw scores that are not numbers"):
            detector.finish((boxes, scores))


def test_losing_a_class_on_several_threads_is_reported(log: Any) -> None:
    """LiteRT's operator never looks at class t when it suppresses per class on t threads."""
    model = Tiny().bytes()
    Detector(model, postprocess="op", threads=1)
    Detector(model, postprocess="numpy", threads=2)
    Detector(model, postprocess="op", nms="fast", threads=2)
    assert not log.text
    Detector(model, postprocess="op", threads=2)
    assert "loses class 2 when it suppresses per class on 2 threads" in log.text


def reference(path: Path) -> dict[int, list[dict[str, Any]]]:
    """COCO results by image."""
    found = defaultdict(list)
    for entry in json.loads(path.read_text()):
        found[int(entry["image_id"])].append(entry)
    return found


@pytest.mark.parametrize("way", ["numpy", "op"])
@pytest.mark.parametrize("nms", ["regular", "fast"])
def test_reference_detections(data: Path, nms: Any, way: Any) -> None:
    """TOCO's model on photographs, against what the official tools recorded."""
    want = reference(data / "oracle" / f"detections_{nms}.json")
    detector = Detector(
        data / "oracle" / "toco_detect_regular.tflite", nms=nms, postprocess=way, resize="pillow"
    )
    for path in sorted((data / "coco_val2017_310" / "val2017").glob("*.jpg"))[:20]:
        pixels = detector.load(path)
        found, expected = detector(pixels), want[int(path.stem)]
        assert [entry["category_id"] for entry in expected] == (found.classes + 1).tolist()
        scores = [entry["score"] for entry in expected]
        # Another processor's order of summation in the network.
        np.testing.assert_allclose(found.scores, scores, atol=2e-6)
        boxes = found.pixels(pixels.shape[1], pixels.shape[0])
        boxes[:, 2:] -= boxes[:, :2]
        wanted: npt.NDArray[Any] = np.reshape([entry["bbox"] for entry in expected], (-1, 4))
        # The record has four decimals; the rest as for the scores, times 640 pixels.
        np.testing.assert_allclose(boxes, wanted, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["oracle/toco_detect_regular", "ssd_mobilenet_v1_0.75_coco_quant/detect"]
)
def test_real_models_in_numpy_and_in_the_operator(data: Path, name: str) -> None:
    """Float and quantised, at a threshold that lets everything through: equal to the bit."""
    for nms in ("regular", "fast"):
        settings: dict[str, Any] = {"nms": nms, "score_threshold": 1e-8, "max_detections": 100}
        here = Detector(data / f"{name}.tflite", **settings)
        there = Detector(data / f"{name}.tflite", postprocess="op", **settings)
        assert here.postprocess == "numpy"
        for path in sorted((data / "coco_val2017_310" / "val2017").glob("*.jpg"))[20:24]:
            found = here(path)
            assert len(found) == 100
            assert_equal(found, there(path))


def test_the_file_itself_with_other_options_does_the_same(data: Path) -> None:
    """Settings given to the detector, and the same ones written into the file."""
    model = (data / "ssd_mobilenet_v1_0.75_coco_quant" / "detect.tflite").read_bytes()
    detector = Detector(model, nms="regular", max_detections=30, score_threshold=0.25)
    written = replace_custom_options(model, 63, write_options(detector.settings.to_options()))
    path = next((data / "coco_val2017_310" / "val2017").glob("*.jpg"))
    assert_equal(Detector(written)(path), detector(path))


def with_metadata(model: bytes, name: str, content: bytes) -> bytes:
    """The model, with one more entry of metadata."""
    parts = tflite.read_model(model)
    parts.metadata.append(tflite.Metadata(name, len(parts.buffers)))
    parts.buffers.append(tflite.Buffer(np.frombuffer(content, np.uint8)))
    return bytes(tflite.write_model(parts))


def test_a_normalisation_of_the_model_s_own_is_obeyed() -> None:
    """Where a model carries one, its input is pixel * scale + offset for each channel."""
    scale, offset = (0.5, 0.25, 2.0), (1.0, 0.0, -3.0)
    content = normalization.write_normalization(scale, offset)
    detector = Detector(with_metadata(Tiny().bytes(), normalization.NAME, content))
    resized = images.resize(PIXELS, 8, 6, "tensorflow")
    expected = resized * np.array(scale, np.float32) + np.array(offset, np.float32)
    np.testing.assert_array_equal(detector.prepare(PIXELS)[0], expected)
    wrong = with_metadata(Tiny().bytes(), normalization.NAME, b'{"scale": [1, 2], "offset": [0]}')
    with pytest.raises(ModelError, match="is for 2 channels, the input has 3"):
        Detector(wrong)
