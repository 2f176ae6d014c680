"""A data set is read whole, in a fixed order, or refused with one clear line."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import DatasetError, FlatshotError
from flatshot.evaluation.dataset import CocoDataset


def content(**changes: Any) -> dict[str, Any]:
    """A good annotation file's content: two images, two categories, three objects."""
    good: dict[str, Any] = {
        "images": [{"id": 9, "file_name": "b.jpg"}, {"id": 4, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 11.5},
            {"id": 2, "image_id": 9, "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1},
            {"id": 3, "image_id": 4, "category_id": 2, "bbox": [0.5, 0, 5, 5]},
        ],
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


def write(root: Path, value: Any, images: tuple[str, ...] = ("a.jpg", "b.jpg")) -> Path:
    """A data set folder whose images are empty files: nothing decodes them here."""
    (root / "annotations").mkdir(exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value)
    (root / "annotations" / "instances_tiny.json").write_text(text)
    (root / "tiny").mkdir(exist_ok=True)
    for name in images:
        (root / "tiny" / name).touch()
    return root


def test_a_good_data_set(tmp_path: Path) -> None:
    """Images by name, objects as arrays, area from the box where there is none."""
    dataset = CocoDataset(write(tmp_path, content()))
    assert [(image.id, image.name) for image in dataset.images] == [(4, "a.jpg"), (9, "b.jpg")]
    assert dataset.images[0].path == tmp_path / "tiny" / "a.jpg"
    assert dataset.categories == {1: "cat", 2: "dog"}
    assert dataset.truth.areas.tolist() == [11.5, 25, 25]
    assert dataset.truth.crowds.tolist() == [False, True, False]
    assert dataset.truth.of([4]).boxes.tolist() == [[0.5, 0, 5, 5]]
    file = tmp_path / "annotations" / "instances_tiny.json"
    assert dataset.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (len(dataset), dataset.missing, dataset.skipped) == (2, (), {})


def test_one_image_is_a_data_set(tmp_path: Path) -> None:
    """The smallest thing that can be scored."""
    one = content(
        images=[{"id": 4, "file_name": "a.jpg"}], annotations=content()["annotations"][2:]
    )
    assert len(CocoDataset(write(tmp_path, one, ("a.jpg",)))) == 1


def test_images_without_objects_are_a_data_set(tmp_path: Path) -> None:
    """Nothing to find is a fact about images, and no fault of the file."""
    assert len(CocoDataset(write(tmp_path, content(annotations=[]))).truth) == 0


def test_select(tmp_path: Path) -> None:
    """Slices of the sorted list; an empty one is an error, not a score of nothing."""
    dataset = CocoDataset(write(tmp_path, content()))
    assert [image.id for image in dataset.select(1, 1)] == [9]
    assert [image.id for image in dataset.select()] == [4, 9]
    with pytest.raises(DatasetError, match="skipping 2"):
        dataset.select(1, 2)
    with pytest.raises(DatasetError, match="no image left"):
        dataset.select(0)


def test_missing_images_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An image that is listed and not there is left out, and said so."""
    with caplog.at_level(logging.WARNING, logger="flatshot"):
        dataset = CocoDataset(write(tmp_path, content(), ("b.jpg",)))
    assert [image.id for image in dataset.images] == [9]
    assert dataset.missing == ("a.jpg",)
    assert "1 of the images that instances_tiny.json lists" in caplog.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"category_id": None}, "they name no category"),
        ({"category_id": 77}, "their category is not listed"),
        ({"image_id": 77}, "their image is not listed"),
    ],
)
def test_annotations_that_fit_nothing_are_counted(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """COCO's own tools drop them without a word."""
    rows = content()["annotations"]
    rows[0] |= change
    dataset = CocoDataset(write(tmp_path, content(annotations=rows)))
    assert dataset.skipped == {reason: 1}
    assert len(dataset.truth) == 2
    with pytest.raises(DatasetError, match=f"none of the 1.*{reason}"):
        CocoDataset(write(tmp_path, content(annotations=rows[:1])))


IMAGE = {"id": 9, "file_name": "b.jpg"}
OBJECT = {"id": 1, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        (content(categories=None), "no list 'categories'"),
        (content(categories=[]), "no categories"),
        (content(categories=[{"id": 1}]), "'name'"),
        (content(categories=[{"id": 1, "name": "a"}] * 2), "category id 1 occurs twice"),
        (content(images=None), "no list 'images'"),
        (content(images={}), "no list 'images'"),
        (content(images=[]), "lists no images"),
        (content(images=[3]), r"images\[0\] is not an object"),
        (content(images=[IMAGE, IMAGE]), "image id 9 occurs twice"),
        (content(images=[{"id": "img_12", "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": 2.5, "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": "2.5", "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": "-1", "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": float("inf"), "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": True, "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": 10**30, "file_name": "b.jpg"}]), "whole number"),
        (content(images=[{"id": 9}]), "'file_name'"),
        (
            content(images=[{"id": 9, "file_name": "../annotations/c.jpg"}]),
            "--images",
        ),
        (content(images=[{"id": 9, "file_name": "/etc/passwd"}]), "--images"),
        (content(images=[{"id": 9, "file_name": "b.jpg\0"}]), "--images"),
        (content(images=[IMAGE, {"id": 8, "file_name": "D:\\other\\b.jpg"}]), "both"),
        (content(images=[{"id": 9, "file_name": "c.jpg"}]), "--images"),
        (content(annotations=None), "no list 'annotations'"),
        (content(annotations=[OBJECT, OBJECT]), "annotation id 1 occurs twice"),
        (content(annotations=[OBJECT | {"image_id": None}]), "'image_id'"),
        (content(annotations=[OBJECT | {"bbox": [1, 2, 3]}]), "'bbox'"),
        (content(annotations=[OBJECT | {"bbox": None}]), "'bbox'"),
        (content(annotations=[OBJECT | {"bbox": [1, 2, -3, 4]}]), "'bbox'"),
        (content(annotations=[OBJECT | {"bbox": [1, 2, float("nan"), 4]}]), "'bbox'"),
        (content(annotations=[OBJECT | {"bbox": [1, 2, 10**400, 4]}]), "'bbox'"),
        (content(annotations=[OBJECT | {"area": "big"}]), "'area'"),
        (content(annotations=[OBJECT | {"bbox": ["1", "2", "3", "wide"]}]), "'bbox'"),
        (content(annotations=[OBJECT | {"bbox": [0.1, 0.25, 0.5, 0.5]}]), "parts of the image"),
        (content(annotations=[OBJECT | {"iscrowd": 2}]), "'iscrowd'"),
        (content(annotations=[OBJECT | {"iscrowd": "yes"}]), "'iscrowd'"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, value: Any, says: str) -> None:
    """One line that names the file and the place."""
    with pytest.raises(DatasetError, match=says) as caught:
        CocoDataset(write(tmp_path, value))
    assert "instances_tiny.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(cut=st.integers(0, 400), flip=st.integers(0, 400), to=st.integers(32, 126))
def test_damaged_files_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, to: int
) -> None:
    """Each prefix and each changed character: a data set or a FlatshotError."""
    text = json.dumps(content())
    damaged = text[:flip] + chr(to) + text[flip + 1 :]
    root = tmp_path_factory.mktemp("damaged")
    for value in (text[:cut], damaged):
        write(root, value)
        try:
            dataset = CocoDataset(root)
        except FlatshotError:
            continue
        assert len(dataset.truth) <= 3


def test_no_data_set_at_all(tmp_path: Path) -> None:
    """The folder, the annotation file and the image folder are missed by name."""
    with pytest.raises(DatasetError, match="not a folder"):
        CocoDataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="--annotations"):
        CocoDataset(tmp_path)
    write(tmp_path, content(), images=())
    with pytest.raises(DatasetError, match="--images"):
        CocoDataset(tmp_path)


def test_several_annotation_files(tmp_path: Path) -> None:
    """They are named, and one can be chosen by its plain name; so can the images' folder."""
    write(tmp_path, content())
    second = tmp_path / "annotations" / "instances_other.json"
    second.write_text(json.dumps(content()))
    with pytest.raises(DatasetError, match=r"instances_other\.json, .*instances_tiny\.json"):
        CocoDataset(tmp_path)
    dataset = CocoDataset(tmp_path, annotations="instances_other.json", images="tiny")
    assert dataset.annotations == second
    assert len(dataset) == 2
    with pytest.raises(DatasetError, match="no annotation file 'instances_third"):
        CocoDataset(tmp_path, annotations="instances_third.json")


def test_the_310_images(data: Path) -> None:
    """The real subset: all there, nothing left out."""
    dataset = CocoDataset(data / "coco_val2017_310")
    assert len(dataset) == 310
    assert len(dataset.truth) == 2763
    assert dataset.images[0].name == "000000000285.jpg"
    assert len(dataset.categories) == 80
    assert (dataset.missing, dataset.skipped) == ((), {})


@pytest.mark.parametrize("coat", [float, str, lambda number: f"{number}.0", lambda n: f" {n} "])
def test_whole_numbers_in_another_coat(tmp_path: Path, coat: Callable[[int], object]) -> None:
    """Pandas writes 285.0, VGG Image Annotator "285": they are 285."""
    dressed = content()
    for row in (*dressed["images"], *dressed["categories"]):
        row["id"] = coat(row["id"])
    for row in dressed["annotations"]:
        row |= {key: coat(row[key]) for key in ("image_id", "category_id")}
        row["bbox"] = [coat(number) if number % 1 == 0 else number for number in row["bbox"]]
    plain = CocoDataset(write(tmp_path, content()))
    dataset = CocoDataset(write(tmp_path, dressed))
    assert [(image.id, image.name) for image in dataset.images] == [(4, "a.jpg"), (9, "b.jpg")]
    assert dataset.categories == plain.categories
    assert np.array_equal(dataset.truth.category_ids, plain.truth.category_ids)
    assert np.array_equal(dataset.truth.boxes, plain.truth.boxes)


@pytest.mark.parametrize("crowd", [True, 1.0, "1"])
def test_crowds_in_another_coat(tmp_path: Path, crowd: object) -> None:
    """Flags too."""
    rows = [OBJECT | {"iscrowd": crowd}]
    assert CocoDataset(write(tmp_path, content(annotations=rows))).truth.crowds.tolist() == [True]


@pytest.mark.parametrize(
    "listed",
    [
        *("/home/someone/tiny/b.jpg", "C:\\project\\tiny\\b.jpg", "tiny\\b.jpg", "../tiny/b.jpg"),
        *("..\\..\\b.jpg", "https://host/tiny/b.jpg?size=full", "/data/local-files/?d=set/b.jpg"),
        *("s3://bucket/b.jpg", "./b.jpg", "B.JPG", "b", "file:///C:/x/b.jpg", "x%2Fb.jpg"),
    ],
)
def test_names_of_other_machines(
    tmp_path: Path, listed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An image is found under the end of its listed name, said once; the name stays as listed."""
    both = content(images=[IMAGE | {"file_name": listed}, content()["images"][1]])
    dataset = CocoDataset(write(tmp_path, both))
    (image,) = (image for image in dataset.images if image.id == 9)
    assert (image.name, image.path) == (listed, tmp_path / "tiny" / "b.jpg")
    expected = 0 if listed == "./b.jpg" else 1
    assert caplog.text.count("by the end of their listed names") == expected


def test_letters_with_marks_as_macos_spells_them(tmp_path: Path) -> None:
    """One listed name in two spellings of Unicode is one file."""
    listed = content(images=[IMAGE | {"file_name": "stra\u00dfe-\u00e9.jpg"}])
    dataset = CocoDataset(write(tmp_path, listed, ("STRASSE-E\u0301.jpg",)))
    assert [image.id for image in dataset.images] == [9]


def test_the_end_of_a_name_never_leads_outside(tmp_path: Path) -> None:
    """Whatever is listed, the file lies in the image folder."""
    write(tmp_path, content(images=[IMAGE | {"file_name": "tiny/../../b.jpg"}]), ("a.jpg",))
    (tmp_path / "b.jpg").touch()
    with pytest.raises(DatasetError, match="--images"):
        CocoDataset(tmp_path, images=tmp_path / "tiny")


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("labels.json", "data"),  # FiftyOne
        ("valid/_annotations.coco.json", "valid"),  # Roboflow
        ("valid/_annotations.coco.json", "valid/images"),
        ("result.json", "images"),  # Label Studio
        ("annotations/instances_default.json", "images/default"),  # CVAT
        ("annotations/instances_default.json", "images"),
        ("annotations/train.json", "train"),
        ("annotations/instances_train.json", "train/images"),
        ("train/annotations.json", "train/JPEGImages"),
        ("train/annotations/instances.json", "train/images"),
        ("annotations.json", "pictures/of/mine"),
    ],
)
def test_folders_of_other_tools(tmp_path: Path, annotations: str, images: str) -> None:
    """Annotation file and images are found without options, wherever tools put them."""
    for name in (annotations, f"{images}/a.jpg", f"{images}/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / annotations).write_text(json.dumps(content()))
    dataset = CocoDataset(tmp_path)
    assert dataset.annotations == tmp_path / annotations
    assert [image.path.parent for image in dataset.images] == [tmp_path / images] * 2
    direct = CocoDataset(tmp_path / annotations)
    assert [image.path.name for image in direct.images] == ["a.jpg", "b.jpg"]


def test_the_folder_with_most_images_is_taken(tmp_path: Path) -> None:
    """A stray image beside the annotation file does not hide the folder of all."""
    write(tmp_path, content())
    (tmp_path / "a.jpg").touch()
    (tmp_path / "annotations" / "b.jpg").touch()
    assert CocoDataset(tmp_path).folder == tmp_path / "tiny"


def test_other_json_beside_the_annotations(tmp_path: Path) -> None:
    """Files that hold none of COCO's lists do not count."""
    (tmp_path / "labels.json").write_text(json.dumps(content()))
    (tmp_path / "info.json").write_text('{"date": 2026}')
    (tmp_path / "a.jpg").touch()
    assert CocoDataset(tmp_path).annotations == tmp_path / "labels.json"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"version": "5.0", "shapes": [], "imagePath": "a.jpg"}, "labelme"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
        ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator"),
        ({"info": {}, "categories": {"label": {}}, "items": []}, "Datumaro"),
        ({"samples": []}, "FiftyOne"),
        ({"images": [], "annotations": [{"caption": "a cat"}]}, "captions"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "detections"),
        ([{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}], "Label Studio"),
        ([{"image": "a.jpg", "annotations": []}], "CreateML"),
        ([{"name": "a.jpg", "labels": []}], "BDD100K"),
    ],
)
def test_json_of_other_tools(tmp_path: Path, value: Any, says: str) -> None:
    """Told by its shape, by name, in one line."""
    with pytest.raises(DatasetError, match=says) as caught:
        CocoDataset(write(tmp_path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Annotations/a.xml", "Pascal VOC"),
        ("train/Annotations/a.xml", "Pascal VOC"),
        ("labels/a.txt", "YOLO"),
        ("train/labels/a.txt", "YOLO"),
        ("data.yaml", "YOLO"),
        ("validation-annotations-bbox.csv", "Open Images"),
        ("train.tfrecord", "TensorFlow records"),
    ],
)
def test_folders_of_other_formats(tmp_path: Path, name: str, says: str) -> None:
    """Told by what lies in them."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=says) as caught:
        CocoDataset(tmp_path)
    assert "COCO's format is needed" in str(caught.value)


CASES = {
    "09-data-file-names": (
        *("plain", "absolute", "windows", "backslash", "up_and_over", "fiftyone", "kaggle"),
    ),
    "10-data-number-types": ("plain", "floats", "texts", "half_texts"),
}


@pytest.mark.parametrize(("case", "name"), [(c, name) for c in CASES for name in CASES[c]])
def test_the_cases_that_people_reported(data: Path, case: str, name: str) -> None:
    """Each variant is the plain data set, in another coat or from another machine."""
    plain = CocoDataset(data / "cases" / case / "plain")
    dataset = CocoDataset(data / "cases" / case / name)
    assert [image.path.name for image in dataset.images] == [i.path.name for i in plain.images]
    assert [image.id for image in dataset.images] == [image.id for image in plain.images]
    for key in ("image_ids", "category_ids", "boxes", "areas", "crowds"):
        assert np.array_equal(getattr(dataset.truth, key), getattr(plain.truth, key)), key
