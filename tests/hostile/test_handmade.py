"""Files made to hurt: cycles, overflows, gigabytes in a kilobyte, names that break lines."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flatshot
from flatshot.cli.main import run
from flatshot.demo.tiny import PIPELINE
from flatshot.errors import FileError, FlatshotError, FormatError, GraphError
from flatshot.formats import graphdef, graphdef_reading
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.pipeline import load_pipeline, read_pipeline
from flatshot.inspection.inspect import inspect
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph
from tests.hostile.samples import constant, graph, placeholder


def convert(*nodes: Node) -> bytes:
    """What a graph of these nodes becomes, after a way through its bytes; it ends in `out`."""
    read = graphdef.read_binary(Graph(nodes).to_bytes())
    return bytes(flatshot.convert(read, output_arrays=["out"]).to_bytes())


def conv(shape: tuple[int, ...], **attrs: Any) -> tuple[Node, ...]:
    """A convolution of an 8 x 8 image."""
    attrs = {"strides": [1, 1, 1, 1], "padding": b"SAME", **attrs}
    return (
        placeholder(1, 8, 8, 2),
        constant("w", np.ones(shape)),
        Node("out", "Conv2D", ("x", "w"), attrs),
    )


X = placeholder(1, 8, 8, 2)


@pytest.mark.parametrize(
    "nodes",
    [
        (X, Node("out", "Identity", ("out",))),
        (X, Node("a", "Relu", ("out",)), Node("out", "Relu", ("a",))),
        (X, Node("out", "Identity", ("none",))),
        (X, X, Node("out", "Identity", ("x",))),
        (placeholder(2**62, 2**62), Node("out", "Relu", ("x",))),
        (placeholder(-5, 2), Node("out", "Relu", ("x",))),
        (X, Node("out", "Relu", ("x:7",))),
        conv((1, 1, 2, 2), strides=[1, 0, 0, 1]),
        conv((1, 1, 2, 2), strides=[1, 2**31, 2**31, 1]),
        conv((1, 1, 2, 2), padding=b"\xff"),
        conv((9, 9, 2, 2), padding=b"VALID"),
        conv((1, 1, 2, 2), dilations=[1, 2**40, 1, 1]),
        conv((1, 1, 3, 2)),
    ],
)
def test_a_graph_that_cannot_be_is_refused(nodes: tuple[Node, ...]) -> None:
    """Cycles, missing and doubled nodes, shapes and steps out of range."""
    with pytest.raises((GraphError, FormatError)):
        convert(*nodes)


def test_a_long_chain_and_a_long_cycle_need_no_recursion() -> None:
    """A chain that ends in nothing, and a ring, of 60,000 nodes."""
    chain = [Node(f"n{i}", "Relu", (f"n{i - 1}",)) for i in range(60_000)]
    with pytest.raises(GraphError, match=r"reads 'n-1', which is not in the graph"):
        flatshot.convert(Graph(tuple(chain)), output_arrays=["n59999"])
    ring = [Node("n-1", "Relu", ("n59999",)), *chain]
    with pytest.raises(GraphError, match="cycle"):
        flatshot.convert(Graph(tuple(ring)), output_arrays=["n59999"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_weights_that_are_no_numbers_become_weights_that_are_none(value: float) -> None:
    """Folding divides by them without a word."""
    *nodes, _ = conv((1, 1, 2, 2))
    numbers = [constant(name, [value, value]) for name in "gbmv"]
    first = Node("c", "Conv2D", ("x", "w"), {"strides": [1, 1, 1, 1], "padding": b"SAME"})
    assert convert(*nodes, *numbers, first, Node("out", "FusedBatchNorm", ("c", *"gbmv"), {}))


def test_text_nested_a_hundred_thousand_deep_is_refused() -> None:
    """Python's stack never decides."""
    for text in ("node { attr { value { func {" + "a {" * 100_000, "library " + "{ a " * 100_000):
        with pytest.raises(FormatError):
            graphdef.read_text(text)


CHANGES = [
    ("depth_multiplier: 0.25", "depth_multiplier: nan"),
    ("depth_multiplier: 0.25", "depth_multiplier: inf"),
    ("depth_multiplier: 0.25", "depth_multiplier: 1e30"),
    ("min_depth: 8", "min_depth: 2147483647"),
    ("num_classes: 3", "num_classes: 2147483647"),
    ("aspect_ratios: 0.3333", "aspect_ratios: nan"),
    ("aspect_ratios: 0.3333", "aspect_ratios: inf"),
    ("box_predictor { conv_", "box_predictor { kernel_size: 2147483647 conv_"),
    ("box_predictor { conv_", "box_predictor { num_layers_before_predictor: 101 conv_"),
    (
        "box_predictor { conv_",
        "box_predictor { num_layers_before_predictor: 9 min_depth: 2147483647 conv_",
    ),
    ("height: 96 width: 96", "height: 16385 width: 16384"),
    ("height: 96 width: 96", "height: -1 width: 0"),
    ('"ssd_mobilenet_v1"', r'"\000\n"'),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_configuration_out_of_all_range_is_refused(old: str, new: str) -> None:
    """By name, before anything is built."""
    assert old in PIPELINE
    with pytest.raises(FlatshotError):
        build_graph(read_config(read_pipeline(PIPELINE.replace(old, new))), None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "box_predictor { conv_",
            "box_predictor { num_layers_before_predictor: 100 max_depth: 2147483647 conv_",
        ),
        ("height: 96 width: 96", "height: 16384 width: 16384"),
    ],
)
def test_a_large_configuration_is_described_without_its_weights(
    tmp_path: Path, old: str, new: str
) -> None:
    """Within 2 GB beyond what importing takes: limited in a process of its own."""
    path = tmp_path / "pipeline.config"
    path.write_text(PIPELINE.replace(old, new))
    assert limited(path) == "pipeline.config of the TensorFlow Object Detection API"


def limited(path: Path) -> str:
    """The kind of the file at `path`, or the error, with little memory to find out."""
    code = (
        "import resource, sys\n"
        "import flatshot.inspection.inspect as i, flatshot.errors as e\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 2**31, size + 2**31))\n"
        "try: print(i.inspect(sys.argv[1]).kind)\n"
        "except e.FlatshotError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_gigabytes_claimed_by_a_kilobyte_are_not_allocated(tmp_path: Path) -> None:
    """Twenty constants of 1.9 GB each, by one value and by two."""
    for values in ([1.0], [1.0, 2.0]):
        message = graphdef_reading.messages()["GraphDef"]()
        for number in range(20):
            node = message.node.add(name=f"c{number}", op="Const")
            tensor = node.attr["value"].tensor
            tensor.dtype = 1
            tensor.tensor_shape.dim.add(size=500_000_000)
            tensor.float_val.extend(values)
        path = tmp_path / "graph.pb"
        path.write_bytes(message.SerializeToString())
        assert path.stat().st_size < 1024
        assert "filling constants with one value would take 2000000000 bytes" in limited(path)


@pytest.mark.parametrize("use", [inspect, flatshot.load_graph, Checkpoint, load_pipeline])
@pytest.mark.parametrize("place", ["none", "nul\0", "a" * 5000, "folder"])
def test_a_place_without_a_file_is_a_file_error(tmp_path: Path, use: Any, place: str) -> None:
    """Missing, of a name that no file can have, a directory."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError):
        use(tmp_path / place)


@pytest.mark.parametrize("name", ["x.tflite", "x.pb", "x.pbtxt", "x.index", "x.config", "x"])
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe\n" * 9, b"\x0a" + b"\xff" * 11])
def test_an_empty_or_senseless_file_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    """Whatever it is called."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FlatshotError):
        inspect(tmp_path / name)


def test_a_file_without_permission_is_a_file_error(tmp_path: Path) -> None:
    """It says why."""
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    path = tmp_path / "graph.pb"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(FileError, match="Permission denied"):
        inspect(path)


def test_names_that_break_lines_leave_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the command, with a partial output nowhere."""
    bad = Node("a\nb\0", "Un\r\nknown", ("raw_outputs/box_encodings",))
    last = Node("raw_outputs/class_predictions", "Relu", ("a\nb\0",))
    nodes = [
        node for node in graph() if node.name not in (last.name, "TFLite_Detection_PostProcess")
    ]
    (tmp_path / "g\nx.pb").write_bytes(Graph((*nodes, bad, last)).to_bytes())
    assert run(["convert", str(tmp_path / "g\nx.pb"), "-o", str(tmp_path / "out.tflite")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["g\nx.pb"]
