"""Whole detectors made smaller after training: from .tflite, checkpoint, and old uint8 files."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import flatshot
from flatshot.cli.main import run
from flatshot.compiler.compile import Model
from flatshot.errors import ConfigError, FlatshotError, FormatError
from flatshot.formats import tflite
from flatshot.runtime.calibration import BINS, Histogram, read_ranges, write_ranges
from flatshot.runtime.quantize import measure, quantize
from tests.quantization import oracles

Pixels = npt.NDArray[np.uint8]


def _pictures(count: int, side: int = 96) -> list[Pixels]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def _types(model: Model) -> list[str]:
    graph = model.tflite.subgraphs[0]
    names: dict[int, str] = {tflite.TensorType.INT8: "int8", tflite.TensorType.UINT8: "uint8"}
    return [names.get(graph.tensors[n].type, "float") for n in tflite.indices(graph.inputs)]


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_a_detector_in_int8(tiny_model: Model, kind: str) -> None:
    """It detects what the one of real numbers does, with each input, on both roads."""
    pictures = _pictures(4)
    small = quantize(tiny_model, pictures, input_type=kind)  # type: ignore[arg-type]
    assert _types(small) == [kind.replace("float32", "float")]
    before = flatshot.Detector(tiny_model, score_threshold=1e-8)(pictures[0])
    for road in ("numpy", "op"):
        detector = flatshot.Detector(small, score_threshold=1e-8, postprocess=road)
        found = detector(pictures[0])
        # scores have steps of 1/256
        assert abs(found.scores[0] - before.scores[0]) <= 2 / 256


def test_a_model_can_be_quantised_by_ranges_that_were_kept(tiny_model: Model) -> None:
    """As JSON; the same bytes come out."""
    pictures = _pictures(3)
    kept = read_ranges(write_ranges(measure(tiny_model, pictures)))
    assert quantize(tiny_model, ranges=kept).to_bytes() == quantize(tiny_model, pictures).to_bytes()


@pytest.mark.parametrize("to", ["float16", "weights"])
def test_smaller_files_of_real_numbers(tiny_model: Model, to: str) -> None:
    """No images are needed, and results stay near."""
    small = quantize(tiny_model, to=to)  # type: ignore[arg-type]
    assert len(small.to_bytes()) < len(tiny_model.to_bytes())
    picture = _pictures(1)[0]
    one, other = (flatshot.Detector(m, score_threshold=1e-8)(picture) for m in (tiny_model, small))
    np.testing.assert_allclose(one.scores[:3], other.scores[:3], atol=0.02)


def test_an_old_model_of_unsigned_integers(data: Path) -> None:
    """Without any image; the same objects with nearly the same scores."""
    old = data / oracles.REAL / "toco_uint8.tflite"
    small = quantize(old)
    assert {o.custom_code for o in small.tflite.operator_codes if o.custom_code}
    image = sorted((data / "coco_val2017_310/val2017").glob("*.jpg"))[-1]
    one, other = (flatshot.Detector(m, score_threshold=0.3)(image) for m in (old, small))
    assert abs(one.scores[0] - other.scores[0]) < 0.03
    np.testing.assert_allclose(one.boxes[0], other.boxes[0], atol=0.01)


def test_trained_ranges_in_int8(data: Path) -> None:
    """`--inference_type=INT8` puts them to a scale for each channel."""
    source = oracles.from_rule(data, oracles.FAMILY, "families/values.py")
    model = flatshot.convert(source, inference_type="INT8")
    convolutions = [c for c in model.tflite.operator_codes if c.code == tflite.Builtin.CONV_2D]
    assert [code.version for code in convolutions] == [3]
    weights = next(
        t
        for t in model.tflite.subgraphs[0].tensors
        if "weights_quant" in t.name and t.type == tflite.TensorType.INT8
    )
    assert weights.quantization is not None
    assert weights.quantization.scale is not None
    assert weights.quantization.scale.size > 1
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert len(flatshot.Detector(model, score_threshold=1e-8)(picture))


def test_the_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a checkpoint, with ranges kept and given again."""
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for number, picture in enumerate(_pictures(3)):
        Image.fromarray(picture).save(photos / f"{number}.png")
    first, second, ranges = (tmp_path / name for name in ("a.tflite", "b.tflite", "ranges.json"))
    line = ["quantize", str(tiny), "-o", str(first), "--images", str(photos), "--json"]
    assert run([*line, "--ranges", str(ranges)]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == first.stat().st_size
    assert run(["quantize", str(tiny), "-o", str(second), "--ranges", str(ranges)]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert run(["quantize", str(tiny), "-o", str(second)]) == 1
    assert "no images to calibrate with" in capsys.readouterr().err
    assert run(["quantize", str(first), "-o", str(second), "--to", "float16"]) == 1
    assert "quantised already" in capsys.readouterr().err
    assert run(["quantize", str(tiny), "-o", str(second), "--to", "float16", "--keep", "x"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "int4"}, "to is 'int4'"),
        ({"input_type": "int16"}, "input_type is 'int16'"),
        ({"count": 0}, "count is 0"),
        ({"keep": ["no such tensor"], "images": 1}, "no tensor matches"),
        ({"ranges": {}}, "of another model"),
    ],
)
def test_arguments_that_cannot_be(
    tiny_model: Model, options: dict[str, object], message: str
) -> None:
    """Each is told by name."""
    images = _pictures(int(bool(options.pop("images", 0))))
    with pytest.raises(ConfigError, match=message):
        quantize(tiny_model, images, **options)  # type: ignore[arg-type]


def test_numbers_that_are_none(tiny_model: Model) -> None:
    """A model whose constants are no numbers says so."""
    model = tflite.read_model(bytes(tiny_model.to_bytes()))
    largest = max(model.buffers, key=lambda b: 0 if b.data is None else b.data.size)
    assert largest.data is not None
    broken = largest.data.copy()
    broken.view(np.float32)[3] = np.nan
    largest.data = broken
    with pytest.raises(FlatshotError, match=r"infinite or no number|not finite"):
        quantize(bytes(tflite.write_model(model)), _pictures(2))


def test_histograms_do_not_grow(rng: np.random.Generator) -> None:
    """The central 99.99 % within a bin, whatever came first; means by channel."""
    histogram = Histogram(2)
    images = [rng.normal(1, 0.001 * 4**k, (1, 50, 50, 2)).astype(np.float32) for k in range(8)]
    for image in images:
        histogram.add(image)
    everything = np.concatenate([image.ravel() for image in images])
    seen = histogram.seen()
    assert (seen.low, seen.high) == (everything.min(), everything.max())
    step = 2 * 2.0 ** np.ceil(np.log2(np.abs(everything).max())) / BINS
    low, high = np.quantile(everything, [0.00005, 0.99995], method="lower")
    assert abs(seen.body_low - low) <= 2 * step + abs(seen.low - low) * 0.5
    assert abs(seen.body_high - high) <= 2 * step + abs(seen.high - high) * 0.5
    np.testing.assert_allclose(seen.means, everything.reshape(-1, 2).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', '{"x": {"low": 1}}', "{" * 3000])
def test_ranges_that_are_none(text: str) -> None:
    """They are refused in a line."""
    with pytest.raises(FormatError, match="no ranges of calibration"):
        read_ranges(text)
