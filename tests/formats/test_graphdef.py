"""GraphDef, binary and text: protobuf is the judge of the wire and of the escapes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flatshot.errors import FormatError
from flatshot.formats import graphdef
from flatshot.formats.graphdef import (
    CONTROL,
    NUMPY_TYPES,
    Attr,
    DataType,
    Graph,
    Node,
    Shape,
    TensorName,
    parse_tensor,
)
from flatshot.formats.graphdef_reading import messages
from flatshot.formats.graphdef_writing import to_message


def plain(value: Any) -> Any:
    """An attribute in values that can be compared."""
    if isinstance(value, np.ndarray):
        return (
            value.dtype.str,
            value.shape,
            value.tolist() if value.dtype == object else bytes(value.tobytes()),
        )
    return [plain(item) for item in value] if isinstance(value, list) else (type(value), value)


def described(graph: Graph) -> Any:
    """A graph in values that can be compared."""
    return [(n.name, n.op, n.inputs, {k: plain(v) for k, v in n.attrs.items()}) for n in graph]


def one(value: Any) -> Graph:
    """A graph of one constant."""
    return Graph((Node("c", "Const", (), {"dtype": DataType.DT_FLOAT, "value": value}),))


def text_of(graph: Graph) -> bytes:
    """The whole text."""
    return b"".join(graph.to_text())


def test_a_graph_encoded_by_hand_is_read() -> None:
    """Field numbers and wire types of `node_def.proto` and `attr_value.proto`."""
    attr = b"\x0a\x01N" + b"\x12\x02\x18\x02"  # key "N", value { i: 2 }
    node = b"\x0a\x01a" + b"\x12\x02Op" + b"\x1a\x03b:1" + b"\x2a" + bytes([len(attr)]) + attr
    graph = graphdef.read_binary(b"\x0a" + bytes([len(node)]) + node)
    assert described(graph) == [("a", "Op", ("b:1",), {"N": (int, 2)})]
    assert graph.to_bytes() == b"\x0a" + bytes([len(node)]) + node + b"\x12\x00"


attrs = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(width=32, allow_nan=False)
    | st.binary(max_size=9)
    | st.sampled_from(DataType)
    | st.builds(Shape, st.none() | st.lists(st.integers(-1, 9), max_size=4).map(tuple))
    | st.sampled_from(sorted(NUMPY_TYPES.values(), key=str)).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    )
)
same = attrs.flatmap(lambda a: st.just([a, a]))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
nodes = st.builds(
    Node,
    names,
    names,
    st.lists(names, max_size=3).map(tuple),
    st.dictionaries(names, attrs | same, max_size=4),
)
graphs = st.lists(nodes, min_size=1, max_size=4, unique_by=lambda node: node.name).map(
    lambda found: Graph(tuple(found))
)


def without_nan(graph: Graph) -> bool:
    """NaNs may come back with another payload."""
    found = [v for n in graph for v in n.attrs.values()]
    arrays = [a for v in found for a in (v if isinstance(v, list) else [v])]
    return not any(
        isinstance(a, np.ndarray) and a.dtype.kind in "fc" and np.isnan(a).any() for a in arrays
    )


@given(graphs.filter(without_nan))
def test_what_is_written_reads_back_equal(graph: Graph) -> None:
    """In binary and in text: every kind of attribute, lists of them, any dtype and shape."""
    assert described(graphdef.read_binary(graph.to_bytes())) == described(graph)
    assert described(graphdef.read_text(text_of(graph))) == described(graph)


def test_text_is_what_protobuf_prints_byte_for_byte() -> None:
    """All 256 byte values in a tensor, whose escapes are made here for speed."""
    graph = one(np.arange(256, dtype=np.uint8))
    assert text_of(graph) == text_format.MessageToString(to_message(graph)).encode()


def test_grep_finds_use_regular_nms_in_the_text() -> None:
    """`grep -A 3 use_regular_nms tflite_graph.pbtxt`, as the original README shows it."""
    op = "TFLite_Detection_PostProcess"
    text = text_of(Graph((Node(op, op, (), {"use_regular_nms": True, "num_classes": 3}),)))
    lines = text.decode().splitlines()
    at = next(number for number, line in enumerate(lines) if "use_regular_nms" in line)
    assert lines[at - 1 : at + 5] == [
        "  attr {",
        '    key: "use_regular_nms"',
        "    value {",
        "      b: true",
        "    }",
        "  }",
    ]


def message(**tensor: Any) -> bytes:
    """A GraphDef with one constant of these fields of TensorProto."""
    made = messages()["GraphDef"]()
    node = made.node.add(name="c", op="Const")
    target = node.attr["value"].tensor
    for size in tensor.pop("dims", []):
        target.tensor_shape.dim.add(size=size)
    for name, value in tensor.items():
        getattr(target, name).extend(value) if isinstance(value, list) else setattr(
            target, name, value
        )
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    ("tensor", "want"),
    [
        ({"dtype": 1, "dims": [3], "float_val": [1.5]}, [1.5, 1.5, 1.5]),
        ({"dtype": 1, "dims": [3], "float_val": [1.5, 2.0]}, [1.5, 2.0, 2.0]),
        ({"dtype": 1, "dims": [2]}, [0.0, 0.0]),
        ({"dtype": 4, "dims": [2], "int_val": [255, 1]}, [255, 1]),
        ({"dtype": 10, "dims": [2], "bool_val": [True]}, [True, True]),
        ({"dtype": 19, "dims": [1], "half_val": [0x3C00]}, [1.0]),
        ({"dtype": 23, "dims": [2], "uint64_val": [1, 2**64 - 1]}, [1, 2**64 - 1]),
        ({"dtype": 7, "dims": [2], "string_val": [b"a", b"\xff"]}, [b"a", b"\xff"]),
        ({"dtype": 101, "dims": [1], "float_val": [2.0]}, [2.0]),
    ],
)
def test_values_of_a_constant_are_read_as_tensorflow_means_them(
    tensor: dict[str, Any], want: list[Any]
) -> None:
    """The last value fills what is left; half is stored as its bits; references are plain."""
    value = graphdef.read_binary(message(**dict(tensor))).nodes[0].attrs["value"]
    assert isinstance(value, np.ndarray)
    assert value.tolist() == want


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ({"dtype": 1, "dims": [-1]}, "unknown shape"),
        ({"dtype": 1, "dims": [2**62, 2**62], "float_val": [1.0]}, "larger than 2 GiB"),
        ({"dtype": 1, "dims": [0, 2**62, 2**62]}, "larger than 2 GiB"),
        ({"dtype": 1, "dims": [5, 2**29], "float_val": [1.0]}, "larger than 2 GiB"),
        ({"dtype": 1, "dims": [2**28], "float_val": [1.0]}, "would take 1073741824 bytes"),
        ({"dtype": 1, "dims": [2**28], "float_val": [1.0, 2.0]}, "would take 1073741824 bytes"),
        ({"dtype": 1, "dims": [1] * 33, "float_val": [1.0]}, "33 dimensions are too many"),
        ({"dtype": 1, "dims": [1], "float_val": [1.0, 2.0]}, "2 values are too many"),
        ({"dtype": 1, "dims": [2], "tensor_content": b"1234"}, "4 bytes do not fill DT_FLOAT"),
        ({"dtype": 7, "dims": [2**40]}, "0 strings do not fill"),
        ({"dtype": 99}, "no element type 99"),
        ({"dtype": 20}, "DT_RESOURCE are not supported"),
    ],
)
def test_a_constant_that_claims_too_much_is_refused(tensor: dict[str, Any], reason: str) -> None:
    """By node and attribute, before memory is taken."""
    with pytest.raises(FormatError, match=f"node 'c', attribute 'value': .*{reason}"):
        graphdef.read_binary(message(**dict(tensor)))


def test_a_constant_of_one_value_is_written_as_one() -> None:
    """A graph of zeros stays small."""
    graph = one(np.broadcast_to(np.float32(0), (1000, 1000)))
    assert len(graph.to_bytes()) < 100
    assert described(graphdef.read_binary(graph.to_bytes())) == described(graph)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no nodes"),
        ('node { name: "a" }', "name 'a' and op ''"),
        ('node { name: "a" op: "B" } node { name: "a" op: "B" }', "'a' is defined twice"),
        ('node {\n  name: "a" op "B" }', "line 2, column 16"),
        ('node { name: "\\q" }', "escape"),
        (b"\xff", "byte 0 is not UTF-8"),
    ],
)
def test_text_that_is_no_graph_is_refused(text: str | bytes, reason: str) -> None:
    """A typing mistake has its line and column."""
    with pytest.raises(FormatError, match=reason):
        graphdef.read_text(text)


def test_saved_files_load_equal(tmp_path: Path) -> None:
    """Both files of `save`; errors name the file."""
    graph = one(np.eye(2, dtype=np.float32))
    for path in graph.save(tmp_path / "made"):
        assert described(graphdef.load_graphdef(path)) == described(graph)
    (tmp_path / "x.pb").write_bytes(b"\x0a\x7f")
    with pytest.raises(FormatError, match=r"x\.pb: not a GraphDef"):
        graphdef.load_graphdef(tmp_path / "x.pb")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", TensorName("a/b")),
        ("a/b:0", TensorName("a/b")),
        ("a/b:12", TensorName("a/b", 12)),
        ("^a/b", TensorName("a/b", CONTROL)),
        ("a/b:y:0", TensorName("a/b", 0, "y")),
        ("a/b:output:3", TensorName("a/b", 3, "output")),
        ("a:b", TensorName("a:b")),  # no name that TensorFlow gives; it stays as it is
        ("a:999999", TensorName("a:999999")),  # no operator has so many outputs
    ],
)
def test_names_of_tensors(text: str, expected: TensorName) -> None:
    """Each way to name a tensor gives node, output and port."""
    assert parse_tensor(text) == expected


NAMES = st.from_regex(r"[A-Za-z0-9.][A-Za-z0-9_./-]{0,20}", fullmatch=True)
PORTS = st.sampled_from(["", "output", "selected_indices"])


@given(st.builds(TensorName, NAMES, st.integers(-1, 99999), PORTS))
def test_a_name_is_parsed_as_it_is_written(name: TensorName) -> None:
    """Parsing is the inverse of writing."""
    expected = name if name.number != CONTROL else TensorName(name.node, CONTROL)
    assert parse_tensor(str(name)) == expected


def test_a_node_knows_what_it_reads_and_what_it_waits_for() -> None:
    """Values and control edges are told apart, and `a:0` is `a`."""
    node = Node("n", "Op", ("a:0", "^c", "b:1", "d:y:0"))
    assert node.data_inputs == ("a", "b:1", "d:y:0")
    assert node.sources == ("a", "b", "d")
    assert node.controls == ("c",)


@pytest.mark.parametrize("value", [b"flatshot tensor 0", b"0", b' tensor_content: "0"'])
def test_strings_that_look_like_marks_stay_strings(value: bytes) -> None:
    """Only contents of tensors are taken out before printing, and all of them."""
    weights = np.arange(6, dtype=np.float32)
    digits = np.frombuffer(b"01", np.uint8)
    attrs: dict[str, Attr] = {
        "value": weights,
        "s": value,
        "strings": [value],
        "other": digits,
        "tensors": [weights, digits],
    }
    graph = Graph((Node(f"name {value.decode()}", "Const", (), attrs),))
    text = b"".join(graph.to_text())
    assert text.decode() == text_format.MessageToString(to_message(graph))


def test_half_a_character_in_a_name_is_refused() -> None:
    """What an argument in another encoding leaves in a text cannot be written."""
    graph = Graph((Node("a\udc80", "NoOp"),))
    with pytest.raises(FormatError, match=r"node 'a\\udc80' cannot be written"):
        graph.to_bytes()
