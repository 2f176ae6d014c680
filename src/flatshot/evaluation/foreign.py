"""Annotations that are not COCO's: whose they are, told from the shape of the file or folder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_EXPORT = "export it in COCO's format"


def recognise_json(data: bytes) -> str | None:
    """What a JSON file without COCO's three lists is, and what to do; None if it is unknown."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict):
        return _first(_OBJECTS, content)
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return _first(_LISTS, content[0])
    return None


def recognise_folder(root: Path) -> str | None:
    """Whose annotations the folder `root` holds, if they are known and not COCO's; or None."""
    for kind, patterns in _FOLDERS.items():
        if any(next(root.glob(pattern), None) is not None for pattern in patterns):
            return kind
    return None


def _first(
    known: Mapping[str, Callable[[Mapping[str, Any]], object]], content: Mapping[str, Any]
) -> str | None:
    return next((kind for kind, fits in known.items() if fits(content)), None)


def _has(*keys: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda content: all(key in content for key in keys)


# Files whose top is an object.
_OBJECTS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    f"labelme's, a file an image: {_EXPORT} (labelme2coco)": _has("shapes", "imagePath"),
    f"a project of the VGG Image Annotator: {_EXPORT}": _has("_via_img_metadata"),
    f"VGG Image Annotator's own form: {_EXPORT}": lambda content: any(
        isinstance(value, dict) and "regions" in value for value in list(content.values())[:1]
    ),
    f"Datumaro's: {_EXPORT}": _has("items", "categories"),
    f"FiftyOne's own form: {_EXPORT} (COCODetectionDataset)": _has("samples"),
    f"a Labelbox or Supervisely file: {_EXPORT}": lambda content: (
        "objects" in content and "size" in content
    ),
    "COCO's panoptic form, which has segments and no boxes: take the instances file": (
        lambda content: any("segments_info" in row for row in _some(content, "annotations"))
    ),
    "COCO's captions: take the instances file": lambda content: any(
        "caption" in row for row in _some(content, "annotations")
    ),
    "a list of images that has no list 'annotations', as of a test set: take one that has": (
        lambda content: (
            isinstance(content.get("images"), list)
            and isinstance(content.get("categories"), list)
            and "annotations" not in content
        )
    ),
}
# Files whose top is a list, by its first entry.
_LISTS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "a list of detections (COCO results), not what is to be found: give the annotation file": (
        _has("image_id", "category_id", "bbox")
    ),
    f"Label Studio's own form: {_EXPORT}": lambda row: "data" in row and "annotations" in row,
    f"a short form of Label Studio: {_EXPORT}": _has("annotation_id"),
    f"CreateML's: {_EXPORT}": _has("image", "annotations"),
    f"BDD100K's (Scalabel): {_EXPORT}": _has("name", "labels"),
    f"a Labelbox export: {_EXPORT}": _has("Labeled Data"),
}
# Folders, by patterns of what lies in them.
_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "Pascal VOC (XML files)": (
        *("Annotations/*.xml", "annotations/*.xml", "*/Annotations/*.xml"),
        *("VOC*/Annotations/*.xml", "annotations/xmls/*.xml"),
    ),
    "YOLO (labels/*.txt)": (
        *("labels/*.txt", "labels/*/*.txt", "*/labels/*.txt", "data.yaml", "dataset.yaml"),
        *("classes.txt", "obj.names", "obj.data", "_darknet.labels", "*/_darknet.labels"),
    ),
    "Open Images (CSV)": ("*annotations-bbox*.csv", "*/*annotations-bbox*.csv"),
    "TensorFlow records": ("*.tfrecord", "*.record", "*/*.tfrecord", "*.tfrecord-*"),
    "CVAT for images (annotations.xml)": ("annotations.xml",),
    "a table (CSV)": ("_annotations.csv", "*/_annotations.csv", "annotations.csv", "labels.csv"),
    "XML files, a file an image, as Pascal VOC has them": ("*.xml", "*/*.xml"),
}


def _some(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = content.get(key)
    return [row for row in rows[:1] if isinstance(row, dict)] if isinstance(rows, list) else []
