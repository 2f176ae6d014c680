"""Lists of names as people have them give each class its own name, or are refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FormatError
from flatshot.runtime.detector import Detector
from flatshot.runtime.labels import load_labels
from tests.runtime.tiny import Tiny

THREE = {0: "cat", 1: "stop sign", 2: "hen"}
LISTS = {
    "lines": "cat\nstop sign\nhen\n",
    "a background": "background\ncat\nstop sign\nhen",
    "numbered": "0  cat\n1  stop sign\n2  hen\n",
    "colons": "0: cat\n1:stop sign\n2 : hen",
    "tabs": "0\tcat\n1\tstop sign\n2\then",
    "numbered from 1": "1 cat\n2 stop sign\n3 hen\n",
    "dots": "1. cat\n2. stop sign\n3. hen\n",
    "brackets": "1) cat\n2) stop sign\n3) hen\n",
    "equal signs": "0=cat\n1=stop sign\n2=hen",
    "numbered background": "0 unlabeled\n1 cat\n2 stop sign\n3 hen",
    "comma in one line": "cat,stop sign,hen",
    "semicolons": "cat; stop sign; hen\n",
    "two columns": "id,name\n1,cat\n2,stop sign\n3,hen\n",
    "two columns, name first": '"name";"id"\n"cat";"0"\n"stop sign";"1"\n"hen";"2"',
    "bare columns": "0,cat\n1,stop sign\n2,hen",
    "Open Images": "/m/1,cat\n/m/2,stop sign\n/m/3,hen\n",
    "JSON list": '["cat", "stop sign", "hen"]',
    "Python list": "['cat', 'stop sign', 'hen']",
    "JSON by number": '{"1": "cat", "2": "stop sign", "3": "hen"}',
    "JSON from 0": '{"0": "cat", "1": "stop sign", "2": "hen"}',
    "JSON background": '{"0": "background", "1": "cat", "2": "stop sign", "3": "hen"}',
    "JSON by name": '{"cat": 0, "stop sign": 1, "hen": 2}',
    "Hugging Face": '{"id2label": {"0": "cat", "1": "stop sign", "2": "hen"}, "x": 1}',
    "TensorFlow.js": '{"1": {"id": 1, "displayName": "cat"}, "2": {"displayName": "stop sign"}, '
    '"3": {"displayName": "hen"}}',
    "COCO": '{"images": [], "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "hen"}, '
    '{"id": 2, "name": "stop sign"}]}',
    "COCO from 0": '{"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "stop sign"}, '
    '{"id": 2, "name": "hen"}]}',
    "Roboflow": '{"categories": [{"id": 0, "name": "farm", "supercategory": "none"}, '
    '{"id": 1, "name": "cat", "supercategory": "farm"}, {"id": 2, "name": "stop sign", '
    '"supercategory": "farm"}, {"id": 3, "name": "hen", "supercategory": "farm"}]}',
    "JSON objects": '[{"name": "cat"}, {"name": "stop sign"}, {"name": "hen"}]',
    "YAML": "path: x\nnames: ['cat', stop sign, \"hen\"]\nnc: 3\n",
    "YAML lines": "nc: 3\nnames:\n- cat\n- stop sign\n- hen\ntrain: x\n",
    "YAML numbers": "names:\n  0: cat  # first\n  1: stop sign\n  2: hen\n\ntrain: x\n",
    "CVAT": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:1,2,3::\n"
    "stop sign:1,2,4::\nhen:1,2,5::\n",
    "label map": "# mine\nitem {\n id: 1 name: 'cat' }\nitem { id: 2 name: 'stop sign' }\n"
    "item { id: 3 name: 'hen' }",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_gives_the_same_names(tmp_path: Path, name: str, encoding: str) -> None:
    """Known by what the file holds, whatever its suffix."""
    for suffix in (".txt", ".names", ""):
        path = tmp_path / f"labels{suffix}"
        path.write_bytes(LISTS[name].encode(encoding))
        assert dict(load_labels(path).names) == THREE


@pytest.mark.parametrize(
    "names",
    [
        ("5 cent", "10 cent", "20 cent", "50 cent", "1 euro", "2 euro"),
        ("1 euro", "2 euro"),
        ("30 km/h", "50 km/h", "70 km/h"),
        ("3-wheeler", "4-wheeler", "truck"),
        ("2.5 t", "7.5 t"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus"),
        ("none", "unlabeled things"),
        ("N/A", "cat", "N/A"),
    ],
)
def test_numbers_and_commas_that_belong_to_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    """They stay where they are."""
    (tmp_path / "labels.txt").write_text("\n".join(names))
    assert tuple(load_labels(tmp_path / "labels.txt").names.values()) == names


def test_gaps_keep_their_numbers(tmp_path: Path) -> None:
    """As in Google Coral's list of COCO's classes."""
    (tmp_path / "labels.txt").write_text("0  a\n1  b\n3  d\n4  e\n")
    labels = load_labels(tmp_path / "labels.txt")
    assert [labels.name(number) for number in range(5)] == ["a", "b", "class 2", "d", "e"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no labels"),
        ("{", "begin as JSON and are none"),
        ("[1, 2]", "without a list of names"),
        ('{"a": "b"}', "without a list of names"),
        ('[{"id": 1}]', "not all have a name"),
        ('[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]', "share an id"),
        ("filename,width,height,class\na.jpg,3,4,cat\nb.jpg,3,4,hen\n", "a table with the columns"),
        ("<!DOCTYPE html>\n<html>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        ("<annotation><object/></annotation>", "XML|no list of names"),
        ("item { id: 0 name: 'cat' } item { id: 1 name: 'hen' }", "has id 0"),
        ("cat\0hen", "no text"),
        ("[" * 100_000, "begin as JSON"),
    ],
)
def test_what_is_no_list_of_names(tmp_path: Path, text: str, says: str) -> None:
    """Refused in one line; never one name that is the whole file."""
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(FormatError, match=says) as caught:
        load_labels(tmp_path / "labels.txt")
    assert "\n" not in str(caught.value)
    assert "labels.txt" in str(caught.value)


@given(st.text(max_size=200) | st.from_regex(r"\A[0-9\n:, \[\]{}'\"a-c#-]{0,60}\Z"))
def test_any_text_gives_names_or_a_format_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """And never another exception, nor a class below 0."""
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        labels = load_labels(path)
    except FormatError:
        return
    assert min(labels.names) >= 0


@pytest.mark.parametrize("first", ["unlabeled", "None", "object"])
def test_one_name_more_than_classes(
    tmp_path: Path, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is the background's, whatever it is called."""
    (tmp_path / "labels.txt").write_text(f"{first}\ncat\ndog\nhen\n")
    detector = Detector(Tiny().bytes(), labels=tmp_path / "labels.txt")
    assert detector.labels is not None
    assert dict(detector.labels.names) == {0: "cat", 1: "dog", 2: "hen"}
    assert f"its first, {first!r}, is taken for the background's" in caplog.text


def test_a_label_map_is_never_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its numbers are its own; only a warning says that they are too many."""
    items = "".join(f"item {{ id: {n} name: 'n{n}' }}\n" for n in range(1, 5))
    (tmp_path / "labels.txt").write_text(items)
    detector = Detector(Tiny().bytes(), labels=tmp_path / "labels.txt")
    assert detector.labels is not None
    assert detector.labels.name(0) == "n1"
    assert "names may be those of others" in caplog.text


SHAPES = ["disc", "ring", "square", "triangle", "star", "cross"]


def test_the_files_that_people_reported(data: Path) -> None:
    """Each gives the six shapes, or is refused; Coral's keeps its gaps."""
    folder = data / "cases" / "14-labels"
    for name in (
        *("numbered.txt", "numbered_colon.txt", "label_map.txt", "LABELS.PBTXT"),
        *("labels.json", "labels.csv"),
    ):
        assert dict(load_labels(folder / name).names) == dict(enumerate(SHAPES)), name
    more = load_labels(folder / "one_more_line.txt").without_first()
    assert json.loads(json.dumps(list(more.names.values()))) == SHAPES
    gaps = load_labels(folder / "numbered_with_gaps.txt")
    assert (gaps.name(11), gaps.name(12)) == ("class 11", "stop sign")
    with pytest.raises(FormatError, match="id 0"):
        load_labels(folder / "from_0.pbtxt")
