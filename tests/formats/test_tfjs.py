"""TensorFlow.js graph models: topology, weights in every form, and damage."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatshot.errors import FileError, FlatshotError, FormatError, UnsupportedError
from flatshot.formats.graph_files import is_graph, load_graph
from flatshot.formats.graphdef import Array, Call, DataType, Shape
from flatshot.formats.tfjs import load_model, read_model


def _const(name: str) -> dict[str, Any]:
    """A constant, whose value lies in the weight files."""
    tensor = {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "2"}]}}
    return {
        "name": name,
        "op": "Const",
        "attr": {"value": {"tensor": tensor}, "dtype": {"type": "DT_FLOAT"}},
    }


def _model(weights: list[dict[str, Any]], *nodes: dict[str, Any]) -> dict[str, Any]:
    constants = [_const(str(weight["name"])) for weight in weights]
    return {
        "format": "graph-model",
        "modelTopology": {"node": [*constants, *nodes]},
        "weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": weights}],
    }


def _value(model: dict[str, Any], data: bytes, name: str) -> Array:
    graph = read_model(json.dumps(model), lambda paths: memoryview(data))
    value = graph.by_name[name].attrs["value"]
    assert isinstance(value, np.ndarray)
    return value


WEIGHTS: list[tuple[dict[str, Any], bytes, Array]] = [
    ({"dtype": "float32"}, np.array([1.5, -2], "<f4").tobytes(), np.array([1.5, -2], np.float32)),
    ({"dtype": "int32"}, np.array([7, -8], "<i4").tobytes(), np.array([7, -8], np.int32)),
    ({"dtype": "bool"}, b"\1\0", np.array([True, False])),
    (
        {"dtype": "float32", "quantization": {"dtype": "float16"}},
        np.array([0.1, 3], "<f2").tobytes(),
        np.array([0.1, 3], np.float16).astype(np.float32),
    ),
    (
        {"dtype": "float32", "quantization": {"dtype": "uint8", "min": -1.5, "scale": 0.25}},
        bytes([0, 6]),
        np.array([-1.5, 0], np.float32),
    ),
    (
        {"dtype": "float32", "quantization": {"dtype": "uint16", "min": 2, "scale": 0.5}},
        np.array([1, 400], "<u2").tobytes(),
        np.array([2.5, 202], np.float32),
    ),
    (
        {"dtype": "int32", "quantization": {"dtype": "uint8", "min": -3, "scale": 1}},
        bytes([0, 10]),
        np.array([-3, 7], np.int32),
    ),
]


@pytest.mark.parametrize(("entry", "data", "want"), WEIGHTS)
def test_weights(entry: dict[str, Any], data: bytes, want: Array) -> None:
    """Numbers come as they are or from their quantised form, in the type of the constant."""
    got = _value(_model([{"name": "w", "shape": [2], **entry}]), data, "w")
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def test_strings_and_scalars_stand_one_after_another() -> None:
    """A string has its length before it; a scalar has no dimensions."""
    weights: list[dict[str, Any]] = [
        {"name": "s", "shape": [2], "dtype": "string"},
        {"name": "x", "shape": [], "dtype": "float32"},
    ]
    data = b"\2\0\0\0hi\0\0\0\0" + np.float32(4).tobytes()
    assert _value(_model(weights), data, "s").tolist() == [b"hi", b""]
    assert _value(_model(weights), data, "x").shape == ()


def test_attributes() -> None:
    """Every kind, as newer and older converters write it."""
    text = base64.b64encode(b"SAME").decode()
    attrs = {
        "padding": {"s": text},
        "old": {"s": [83, 65, 77, 69]},
        "strides": {"list": {"i": ["1", "2", 2, 1]}},
        "fused_ops": {"list": {"s": [text]}},
        "empty": {"list": {}},
        "T": {"type": "DT_FLOAT"},
        "U": {"type": 1},
        "epsilon": {"f": 0.001},
        "training": {"b": False},
        "k": {"i": "-3"},
        "shape": {"shape": {"dim": [{"size": "-1"}, {"size": "3"}]}},
        "any": {"shape": {"unknownRank": True}},
        "f": {"func": {"name": "g"}},
    }
    node = {"name": "n", "op": "Conv2D", "input": ["a", "b:1", "^c"], "attr": attrs}
    graph = read_model(json.dumps(_model([], node)), lambda paths: memoryview(b""))
    read = graph.by_name["n"]
    assert read.inputs == ("a", "b:1", "^c")
    assert dict(read.attrs) == {
        "padding": b"SAME",
        "old": b"SAME",
        "strides": [1, 2, 2, 1],
        "fused_ops": [b"SAME"],
        "empty": [],
        "T": DataType.DT_FLOAT,
        "U": DataType.DT_FLOAT,
        "epsilon": 0.001,
        "training": False,
        "k": -3,
        "shape": Shape((-1, 3)),
        "any": Shape(None),
        "f": Call("g"),
    }


def _write(folder: Path, model: dict[str, Any], data: bytes) -> Path:
    (folder / "a.bin").write_bytes(data[:5])
    (folder / "b.bin").write_bytes(data[5:])
    path = folder / "model.json"
    path.write_text(json.dumps(model))
    return path


def test_shards_are_one(tmp_path: Path) -> None:
    """A tensor may begin in one file and end in the next."""
    data = np.array([1, 2], "<f4").tobytes()
    path = _write(tmp_path, _model([{"name": "w", "shape": [2], "dtype": "float32"}]), data)
    assert is_graph(path)
    value = load_graph(path).by_name["w"].attrs["value"]
    np.testing.assert_array_equal(value, [1, 2])


def test_the_form_before_2019(tmp_path: Path) -> None:
    """A binary graph without values, and the manifest beside it."""
    model = _model([{"name": "w", "shape": [2], "dtype": "float32"}])
    data = np.array([1, 2], "<f4").tobytes()
    graph = read_model(json.dumps(model), lambda paths: memoryview(data))
    _write(tmp_path, model, np.array([5, 6], "<f4").tobytes())
    path = tmp_path / "tensorflowjs_model.pb"
    path.write_bytes(graph.to_bytes())
    (tmp_path / "weights_manifest.json").write_text(json.dumps(model["weightsManifest"]))
    np.testing.assert_array_equal(load_graph(path).by_name["w"].attrs["value"], [5, 6])
    (tmp_path / "weights_manifest.json").write_text("[]")
    with pytest.raises(FormatError, match="'w' has no weights"):
        load_graph(path)


W = {"name": "w", "shape": [2], "dtype": "float32"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: m.pop("modelTopology"), FormatError, "no modelTopology"),
        (lambda m: m["modelTopology"].pop("node"), UnsupportedError, "layers model of Keras"),
        (lambda m: m.update(modelTopology={"node": []}), FormatError, "no nodes"),
        (lambda m: m.update(weightsManifest=[]), FormatError, "'w' has no weights"),
        (lambda m: m.update(weightsManifest=[{}]), FormatError, "weightsManifest is damaged"),
        (lambda m: m["modelTopology"]["node"].append({}), FormatError, "a node of it is damaged"),
        (lambda m: m["modelTopology"]["node"].append(_const("w")), FormatError, "have one name"),
        (
            lambda m: m["weightsManifest"][0]["weights"].append({**W, "name": "v"}),
            FormatError,
            "end before 'v'",
        ),
        (
            lambda m: m["weightsManifest"][0]["weights"][0].update(shape=[1]),
            FormatError,
            "4 bytes too many",
        ),
        (
            lambda m: m["weightsManifest"][0]["weights"][0].update(shape=[2**40]),
            FormatError,
            "too large",
        ),
        (
            lambda m: m["weightsManifest"][0]["weights"][0].update(dtype="complex64"),
            UnsupportedError,
            "element type 'complex64'",
        ),
        (
            lambda m: m["weightsManifest"][0].update(paths=["../a.bin"]),
            FormatError,
            "outside its folder",
        ),
        (lambda m: m["weightsManifest"][0].update(paths=["c.bin"]), FileError, "c.bin"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Any, error: type[Exception], message: str) -> None:
    """Each with what is wrong with it, and the file."""
    model = _model([dict(W)])
    change(model)
    path = _write(tmp_path, model, np.array([1, 2], "<f4").tobytes())
    with pytest.raises(error, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


OTHERS: tuple[Any, ...] = (None, "x", -1, 1e300, [], {}, [[]], {"x": 1})


def test_any_part_may_be_missing() -> None:
    """Whatever value of the JSON is replaced by another: a graph or an error of ours."""
    node = {"name": "n", "op": "Conv2D", "input": ["w"], "attr": {"s": {"list": {"i": [1]}}}}
    model = _model([{**W, "quantization": {"dtype": "uint8", "min": 0, "scale": 1}}], node)

    def places(value: Any) -> list[tuple[Any, Any]]:
        keys: list[Any] = []
        if isinstance(value, dict):
            keys = list(value)
        elif isinstance(value, list):
            keys = list(range(len(value)))
        return [(value, key) for key in keys] + [p for key in keys for p in places(value[key])]

    for container, key in places(model):
        kept = container[key]
        for other in OTHERS:
            container[key] = other
            with contextlib.suppress(FlatshotError):
                read_model(json.dumps(model), lambda paths: memoryview(b"\0\1"))
        container[key] = kept
