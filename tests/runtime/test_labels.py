"""Names of classes, from each place that keeps them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FileError, FlatshotError, FormatError
from flatshot.runtime.labels import Labels, load_labels, packed_labels, parse_label_map, parse_lines
from tests.runtime.tiny import Tiny, with_labels


def test_lines_with_and_without_a_background() -> None:
    """Either way line "person" is class 0; gaps keep their numbers."""
    for text in ("person\nbicycle\n???\nbus\n", "???\r\nperson\r\nbicycle\r\n???\r\nbus"):
        labels = parse_lines(text)
        assert [labels.name(i) for i in range(5)] == [
            "person",
            "bicycle",
            "class 2",
            "bus",
            "class 4",
        ]
        assert len(labels) == 4


def test_a_label_map() -> None:
    """Ids are classes plus one; the syntax is protobuf's text format, tolerantly read."""
    labels = parse_label_map(
        """
        # COCO
        item { name: "/m/01g317" id: 1 display_name: "person" }
        item: < id: 0x3, name: 'ca' "r"; >
        item {
          id: 5  # nothing is called 4
          name: "na\\303\\257ve \\"one\\" \\x41"
          frequency: 1.5e-3 tags: [ "a", "b" ] keypoints { id: 17 label: "nose" inner <x: 1> }
        }
        item { id: 0 name: "background" }
        item { id: 7 }
        """
    )
    assert dict(labels.names) == {0: "person", 2: "car", 4: 'naïve "one" A', 6: "id 7"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no labels"),
        ("person\ncar", "label map: line 2, column 1"),
        ("item { name: 'x' }", "no id that is a number: x"),
        ("item { id: one }", "line 1, column 12"),
        ("item { id: 1 } item { id: 1 }", "two items of the label map have id 1"),
        ("item { id: 1", "label map: "),
        ("item { id: 1 x {", "label map: "),
        ("item id: 1", "line 1, column 6"),
        ("item { 'id': 1 }", "line 1, column 8"),
        ('item { id: 1 name: "x }', "line 1, column 20"),
        ("item { id: 99999999999999999999 }", "line 1, column 12"),
    ],
)
def test_label_maps_that_are_none(text: str, message: str) -> None:
    """One line that says what is wrong."""
    with pytest.raises(FormatError, match=message):
        parse_label_map(text)


@given(st.text(alphabet="item{}<>[]:,;#'\"\\ \n0123name?é", max_size=60))
def test_any_text_is_labels_or_an_error_of_ours(text: str) -> None:
    """Never another exception."""
    for parse in (parse_label_map, parse_lines):
        try:
            assert len(parse(text)) > 0
        except FlatshotError:
            continue


def test_files(tmp_path: Path) -> None:
    """The ending says which of the two it is; messages name the file."""
    (tmp_path / "map.pbtxt").write_text("item { id: 2 name: 'b' }")
    (tmp_path / "list.txt").write_bytes("\ufeffa\nb\n".encode())
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.pbtxt").write_text("")
    assert load_labels(tmp_path / "map.pbtxt").name(1) == "b"
    assert load_labels(tmp_path / "list.txt").name(0) == "a"
    with pytest.raises(FormatError, match=r"bad\.txt: labels must be UTF-8"):
        load_labels(tmp_path / "bad.txt")
    with pytest.raises(FormatError, match=r"empty\.pbtxt: no labels"):
        load_labels(tmp_path / "empty.pbtxt")
    with pytest.raises(FileError, match="missing"):
        load_labels(tmp_path / "missing.txt")


def test_labels_in_the_model() -> None:
    """A zip file behind the FlatBuffer, the way TensorFlow's metadata writer leaves it."""
    model = Tiny().bytes()
    assert packed_labels(model) is None
    found = packed_labels(with_labels(model, "???\ncat\ndog\n"))
    assert found is not None
    assert found.name(1) == "dog"
    assert packed_labels(with_labels(model, "cat", name="anything.txt")) == Labels({0: "cat"})
    assert packed_labels(with_labels(model, "cat", name="vocabulary.bin")) is None
    two = with_labels(with_labels(model, "no", name="notes.txt"), "cat", name="labels.txt")
    assert packed_labels(two) == Labels({0: "cat"})
    damaged = bytearray(with_labels(model, "cat"))
    damaged[damaged.index(b"cat", len(model))] ^= 1  # the checksum notices
    with pytest.raises(FormatError, match="packed into the model"):
        packed_labels(bytes(damaged))


def test_real_label_file(data: Path) -> None:
    """Google's list for the quantised model, which begins with the background."""
    labels = load_labels(data / "ssd_mobilenet_v1_0.75_coco_quant" / "labels.txt")
    assert len(labels) == 90
    assert labels.name(0) == "person"
    assert labels.name(89) == "toothbrush"
    assert labels.name(11) == "class 11"  # COCO has no category 12
