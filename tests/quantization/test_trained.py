"""Quantisation-aware detectors: TOCO's file tensor by tensor, from checkpoint and from graph."""

from pathlib import Path

import numpy as np
import pytest

from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError, GraphError, UnsupportedError, UnsupportedOpError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Graph, Node
from tests.compiler.graphs import const, conv, graph, placeholder, randn
from tests.compiler.graphs import node as make
from tests.quantization import oracles

RNG = np.random.default_rng(23)
TOTALS = (2160064, 1620032, 1474337907)


@pytest.mark.parametrize(
    ("folder", "rule", "ranges"),
    [
        (oracles.FAMILY, "families/values.py", (-6.0, 6.0)),
        (oracles.RULE, "quantised/rule_values_quant.py", None),
    ],
)
def test_toco_tensor_by_tensor(
    data: Path, folder: str, rule: str, ranges: tuple[float, float] | None
) -> None:
    """Names, types, shapes, bytes, scales, zero points, ranges; operators in order, options."""
    source = oracles.from_rule(data, folder, rule)
    got = oracles.table(oracles.quantised(source, default_ranges=ranges).tflite)
    assert got == oracles.table(oracles.toco(data, folder))


def test_toco_from_a_checkpoint_with_real_weights(data: Path, tmp_path: Path) -> None:
    """The same from a checkpoint, and the totals of TOCO's log."""
    source = oracles.real(data, tmp_path)
    assert len(source.nodes) == 1305
    model = oracles.quantised(source)
    assert oracles.table(model.tflite) == oracles.table(oracles.toco(data, oracles.REAL))
    log = model.log
    assert (log.memory.allocated, log.memory.optimal, log.arithmetic_ops) == TOTALS
    assert str(log.needed) == "900 operators, 1355 arrays (0 quantized)"
    assert str(log.converted) == "64 operators, 176 arrays (159 quantized)"


def test_raw_outputs_with_real_weights(data: Path, tmp_path: Path) -> None:
    """The cut model gives the integers that LiteRT's plain kernels give for TOCO's."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = oracles.quantised(oracles.real(data, tmp_path), cut=True)
    interpreter = Interpreter(
        model_content=bytes(model.to_bytes()),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    stored = np.load(data / oracles.REAL / "raw_outputs.npz")
    images = [name.removesuffix("/image") for name in stored.files if name.endswith("/image")]
    assert len(images) == 3
    for image in images:
        pixels = stored[f"{image}/image"]
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], pixels.reshape(1, 300, 300, 3)
        )
        interpreter.invoke()
        boxes, scores = (
            interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()
        )
        np.testing.assert_array_equal(boxes, stored[f"{image}/box_encodings"].reshape(boxes.shape))
        np.testing.assert_array_equal(
            scores, stored[f"{image}/class_predictions"].reshape(scores.shape)
        )


def test_float_leaves_the_ranges_out(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """47 ranges go, and it is said; the weights stay on their grid."""
    source = oracles.from_rule(data, oracles.FAMILY, "families/values.py")
    with caplog.at_level("INFO", "flatshot"):
        model = convert(source, inference_type="FLOAT")
    assert "47 FakeQuant nodes are left out" in caplog.text
    assert (model.log.converted.operators, model.log.converted.arrays) == (64, 176)
    assert {int(c.code) for c in model.tflite.operator_codes} == {2, 3, 4, 14, 22, 32}
    first = next(t for t in model.tflite.subgraphs[0].tensors if "weights_quant" in t.name)
    weights = tflite.constant(model.tflite, first)
    assert weights is not None
    assert len(np.unique(weights)) <= 255


def test_the_short_form_is_quantised(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a type, what the graph was trained for; TOCO's file as its guides have it."""
    source = oracles.from_rule(data, oracles.FAMILY, "families/values.py")
    with caplog.at_level("INFO", "flatshot"):
        model = convert(source)
    assert "trained with quantisation" in caplog.text
    want = oracles.quantised(source)
    assert oracles.table(model.tflite) == oracles.table(want.tflite)


def _trained(low: float = -1.0, high: float = 1.0, **attrs: bool | int) -> Graph:
    """A convolution with trained ranges, a ReLU6, and two parts joined."""
    limits = {"weights_quant": (low, high), "a": (0.0, 5.0), "b": (-3.0, 4.0)}
    ranges = [
        const(f"{name}/{end}", value)
        for name, pair in limits.items()
        for end, value in zip(("min", "max"), pair, strict=True)
    ]
    return graph(
        placeholder("x", 1, 4, 4, 3),
        const("w", randn(RNG, 1, 1, 3, 2)),
        ranges,
        _fake_quant("weights_quant", "w", **attrs),
        conv("c", "x", "weights_quant"),
        make("r", "Relu6", "c"),
        _fake_quant("a", "r"),
        conv("d", "x", "weights_quant", strides=(1, 1)),
        _fake_quant("b", "d"),
        const("axis", 3),
        make("y", "ConcatV2", "a", "b", "axis"),
    )


def _fake_quant(name: str, source: str, **attrs: bool | int) -> Node:
    return make(name, "FakeQuantWithMinMaxVars", source, f"{name}/min", f"{name}/max", **attrs)


def _said(source: Graph, **options: object) -> dict[str, tuple[object, object]]:
    """Scale and zero point of each quantised tensor."""
    settings = {"output_arrays": ["y"], "inference_type": "QUANTIZED_UINT8", **options}
    tensors = oracles.table(convert(source, **settings).tflite)["tensors"]  # type: ignore[arg-type]
    return {
        name: (tensor["scale"][0], tensor["zero_point"][0])
        for name, tensor in tensors.items()
        if tensor["scale"]
    }


def test_concatenations() -> None:
    """The union of the parts; or with TOCO's default the parameters of the first."""
    apart = _said(_trained(), change_concat_input_ranges=False)
    assert apart["y"] == (np.float32(8 / 255), 96)
    assert apart["r"] == (np.float32(5 / 255), 0)
    changed = _said(_trained())
    assert changed["y"] == changed["r"]


def test_weights_with_and_without_the_lowest_integer() -> None:
    """`narrow_range` is read from the node."""
    assert _said(_trained(narrow_range=True))["weights_quant"] == (np.float32(2 / 254), 128)
    assert _said(_trained(narrow_range=False))["weights_quant"] == (np.float32(2 / 255), 128)


def test_a_range_of_its_own_after_a_concatenation() -> None:
    """Exporters of 2018 put one there; it stands."""
    nodes = [*_trained().nodes[:-1], make("z", "ConcatV2", "a", "b", "axis")]
    nodes += [const("y/min", -5.0), const("y/max", 6.0), _fake_quant("y", "z")]
    said = _said(graph(*nodes), change_concat_input_ranges=False)
    assert said["y"] == (np.float32(11 / 255), 116)


def test_a_range_before_the_activation() -> None:
    """Exporters of 2018 have it there: the clamp is fused, and stays where the range passes it."""
    ranges = [const("q/min", -6.2), const("q/max", 6.87)]
    source = graph(
        placeholder("x", 1, 4, 4, 3),
        const("w", randn(RNG, 1, 1, 3, 2)),
        const("weights_quant/min", -2.0),
        const("weights_quant/max", 2.0),
        _fake_quant("weights_quant", "w"),
        conv("c", "x", "weights_quant"),
        ranges,
        _fake_quant("q", "c"),
        make("y", "Relu6", "q"),
    )
    model = convert(source, output_arrays=["y"], inference_type="QUANTIZED_UINT8").tflite
    (operator,) = model.subgraphs[0].operators
    assert operator.options.activation == tflite.Activation.RELU6
    assert _said(source)["y"] == (np.float32((6.87 + 6.2) / 255), 121)


def test_ranges_as_attributes() -> None:
    """FakeQuantWithMinMaxArgs carries them itself."""
    nodes = [
        make("b", "FakeQuantWithMinMaxArgs", "d", min=-3.0, max=4.0) if n.name == "b" else n
        for n in _trained().nodes
    ]
    assert _said(graph(*nodes)) == _said(_trained())


def test_the_input() -> None:
    """Mean and deviation are zero point and 1/scale."""
    assert _said(_trained(), mean_values=[100], std_values=[50.5])["x"] == (
        np.float32(1 / 50.5),
        100,
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"std_values": [0.0]}, ConfigError, "a deviation is above 0"),
        ({"mean_values": [300.0]}, ConfigError, "lies in 0..255"),
        ({"mean_values": [1.0, 2.0]}, ConfigError, "2 mean values and 1 standard"),
        ({"inference_type": "INT4"}, ConfigError, "--inference_type INT4: one of"),
    ],
)
def test_settings_that_cannot_be(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    """Each is told by its flag."""
    with pytest.raises(error, match=message):
        _said(_trained(), **options)


def test_graphs_that_cannot_be() -> None:
    """A range that nobody knows, an operator without integers, other than 8 bits."""
    plain = graph(placeholder("x", 2, 2), make("y", "Relu", "x"))
    with pytest.raises(GraphError, match="Array y does not have MinMax information"):
        _said(plain)
    assert _said(plain, default_ranges=(-1.0, 1.0))["y"] == (np.float32(2 / 255), 128)
    odd = graph(placeholder("x", 2, 2), make("y", "Exp", "x"))
    with pytest.raises(UnsupportedOpError, match="exp 'y' does not run in 8 bits"):
        _said(odd)
    nodes = [_fake_quant("b", "d", num_bits=4) if n.name == "b" else n for n in _trained().nodes]
    with pytest.raises(UnsupportedError, match="'b' is for 4 bits"):
        _said(graph(*nodes))
