"""Annotation files with numbers that nobody expects."""

import json
from pathlib import Path
from typing import Any

import pytest

from flatshot.errors import DatasetError
from flatshot.evaluation.annotations import parse_annotations

ROW = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), "9" * 5000, []])
@pytest.mark.parametrize("key", ["id", "image_id", "category_id"])
def test_numbers_without_end_are_refused(key: str, value: Any) -> None:
    """An id is a whole number of 53 bits."""
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 9, "height": 9}],
        "annotations": [{**ROW, key: value}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    with pytest.raises(DatasetError):
        parse_annotations(Path("instances.json"), json.dumps(content).encode())
