"""Models that others made: sparse weights, operators that Flatshot does not write, accelerators."""

from pathlib import Path

import numpy as np
import pytest

from flatshot.errors import FormatError, ModelError
from flatshot.formats import tflite
from flatshot.formats.tflite_names import BUILTIN_NAMES
from flatshot.formats.tflite_sparsity import DimensionMetadata, Sparsity, Uint8Vector, Uint16Vector
from flatshot.inspection.models import inspect_model
from flatshot.runtime.detector import Detector
from tests.runtime.tiny import Tiny


def test_operators_have_the_schemas_names() -> None:
    """All of them, as LiteRT's own schema has them."""
    from ai_edge_litert import schema_py_generated as schema

    theirs = {n: name for name, n in vars(schema.BuiltinOperator).items() if isinstance(n, int)}
    assert dict(enumerate(BUILTIN_NAMES)) == theirs
    for number, name in ((9, "FULLY_CONNECTED"), (5, "DEPTH_TO_SPACE"), (124, "DENSIFY")):
        assert tflite.OperatorCode(number).name == name
    for operator in tflite.Builtin:
        assert BUILTIN_NAMES[operator] == operator.name


def test_sparse_weights_are_shown_and_kept() -> None:
    """Inspect counts what is there; reading and writing changes nothing of them."""
    model = tflite.read_model(Tiny().bytes())
    held = [t for t in model.subgraphs[0].tensors if inspect_has_data(model, t)]
    tensor = held[0]
    tensor.sparsity = Sparsity(
        np.array([0, 1], np.int32),
        None,
        [
            DimensionMetadata(0, 8),
            DimensionMetadata(
                *(1, 0, 3, Uint8Vector(np.array([0, 2], np.uint8))),
                *(2, Uint16Vector(np.array([1, 7], np.uint16))),
            ),
        ],
    )
    model.buffers[tensor.buffer].data = np.arange(5, dtype=np.uint8)
    data = bytes(tflite.write_model(model))
    again = tflite.read_model(data)
    assert bytes(tflite.write_model(again)) == data
    (sparse,) = (t.sparsity for t in again.subgraphs[0].tensors if t.sparsity is not None)
    assert sparse.dim_metadata[1].array_indices.values.tolist() == [1, 7]
    assert sparse.dim_metadata[1].array_segments.values.tolist() == [0, 2]
    found = inspect_model(data)
    assert found.facts["sparse"].startswith("1 tensors")
    with pytest.raises(FormatError, match="sparse form"):
        tflite.constant(model, tensor)


def inspect_has_data(model: tflite.TFLiteModel, tensor: tflite.Tensor) -> bool:
    """Whether a tensor is a constant."""
    return model.buffers[tensor.buffer].data is not None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("edgetpu-custom-op", "compiled for Google's Edge TPU, which Flatshot does not drive"),
        ("ethos-u", "Ethos-U"),
        ("FlexSize", "TensorFlow's own operators .FlexSize."),
    ],
)
def test_models_for_others_are_refused_by_name(name: str, says: str) -> None:
    """Before LiteRT is asked."""
    model = tflite.read_model(Tiny().bytes())
    model.operator_codes.append(tflite.OperatorCode(32, name, 1, 32))
    data = bytes(tflite.write_model(model))
    with pytest.raises(ModelError, match=says):
        Detector(data)


def test_the_edge_tpu_model_that_people_reported(data: Path) -> None:
    """Said by detect and by inspect, with what to do."""
    path = data / "cases" / "16-model-for-edge-tpu" / "detect_edgetpu.tflite"
    says = r"give the \.tflite that it was compiled from \(the name without _edgetpu\)"
    with pytest.raises(ModelError, match=says):
        Detector(path)
    assert "Edge TPU" in inspect_model(path.read_bytes()).facts["accelerator"]
