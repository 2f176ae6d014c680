"""What TensorFlow's metadata says about a model's pixels is read, and obeyed by the Detector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FlatshotError, FormatError
from flatshot.formats import flatbuffer, normalization, tflite
from flatshot.formats import model_metadata as meta
from flatshot.inspection.models import inspect_model
from flatshot.runtime.detector import Detector
from tests.runtime.tiny import Tiny


def metadata(mean: Sequence[float], std: Sequence[float]) -> bytes:
    """Metadata with a normalisation of the input."""
    options = meta.NormalizationOptions(np.array(mean, np.float32), np.array(std, np.float32))
    tensor = meta.TensorMetadata("image", process_units=[meta.ProcessUnit(1, options)])
    root = meta.ModelMetadata("x", subgraphs=[meta.SubGraphMetadata(inputs=[tensor])])
    return bytes(flatbuffer.write(root, meta.IDENTIFIER))


def carrying(data: bytes, **entries: bytes) -> bytes:
    """A model with more metadata; dots in names are written as double underscores."""
    model = tflite.read_model(data)
    for name, content in entries.items():
        model.buffers.append(tflite.Buffer(np.frombuffer(content, np.uint8)))
        model.metadata.append(tflite.Metadata(name.replace("__", "."), len(model.buffers) - 1))
    return bytes(tflite.write_model(model))


def ends(data: bytes) -> list[list[float]]:
    """What the detector makes of black and of white, by channel."""
    detector = Detector(data)
    return [
        detector.prepare(np.full((9, 9, 3), grey, np.uint8))[0, 0, 0].tolist() for grey in (0, 255)
    ]


@pytest.mark.parametrize(
    ("mean", "std", "black", "white"),
    [
        ([0], [255], 0, 1),
        ([0], [1], 0, 255),
        ([127], [128], -127 / 128, 1),
        ([127.5], [127.5], -1, 1),
        ([127.5] * 3, [127.5] * 3, -1, 1),
    ],
)
def test_float_inputs_are_fed_as_the_metadata_says(
    mean: list[float], std: list[float], black: float, white: float
) -> None:
    """(pixel - mean) / std, within a rounding of float32 at its size."""
    got = ends(carrying(Tiny().bytes(), TFLITE_METADATA=metadata(mean, std)))
    np.testing.assert_allclose(got, [[black] * 3, [white] * 3], rtol=2e-7, atol=2e-7)


def test_each_channel_has_its_own() -> None:
    """As networks of ImageNet's means have it; and inspect shows the numbers."""
    data = carrying(Tiny().bytes(), TFLITE_METADATA=metadata([124, 117, 104], [1, 2, 4]))
    assert ends(data) == [[-124, -58.5, -26], [131, 69, 37.75]]
    fact = inspect_model(data).facts["normalization"]
    assert fact == "(pixel - 124, 117, 104) / 1, 2, 4, says TensorFlow's metadata"


def test_our_own_word_goes_first() -> None:
    """`flatshot.normalization` before TensorFlow's."""
    ours = normalization.write_normalization([0.5], [3.0])
    data = carrying(
        Tiny().bytes(), TFLITE_METADATA=metadata([0], [255]), flatshot__normalization=ours
    )
    assert ends(data) == [[3.0] * 3, [130.5] * 3]


def test_the_usual_needs_no_word(caplog: pytest.LogCaptureFixture) -> None:
    """Metadata without a normalisation changes nothing."""
    empty = bytes(flatbuffer.write(meta.ModelMetadata("x"), meta.IDENTIFIER))
    assert ends(carrying(Tiny().bytes(), TFLITE_METADATA=empty)) == [[-1.0] * 3, [1.0] * 3]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"M001", "TensorFlow Lite metadata"),
        (b"\0" * 40, "TensorFlow Lite metadata"),
        (metadata([1, 2], [1, 2]), "2 numbers for mean"),
        (metadata([1], [0]), r"\[0.0\] for std"),
        (metadata([float("nan")], [1]), "for mean"),
        (metadata([], [1]), "0 numbers for mean"),
    ],
)
def test_damaged_metadata_is_told(
    content: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The model still runs as it did without; nobody is left to guess why."""
    with pytest.raises(FormatError, match=says):
        meta.input_normalization(meta.read_model_metadata(content), 3)
    assert ends(carrying(Tiny().bytes(), TFLITE_METADATA=content)) == [[-1.0] * 3, [1.0] * 3]
    assert "its metadata is damaged" in caplog.text


@given(st.data())
def test_any_damage_gives_metadata_or_an_error(draw: st.DataObject) -> None:
    """Never another exception."""
    data = bytearray(metadata([1, 2, 3], [1]))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(8, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        meta.input_normalization(meta.read_model_metadata(bytes(data)), 3)
    except FlatshotError:
        return


def test_the_model_that_people_reported(data: Path) -> None:
    """Mean 0, deviation 255: black is 0 and white is 1."""
    path = data / "cases" / "20-model-metadata-normalisation" / "mean_0_std_255.tflite"
    np.testing.assert_allclose(ends(path.read_bytes()), [[0] * 3, [1] * 3], atol=1e-7)
    assert "(pixel - 0) / 255" in inspect_model(path.read_bytes()).facts["normalization"]
