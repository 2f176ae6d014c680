"""Where the runs of a page come from: records, and results that were written as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from flatshot.errors import RecordError
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.metrics import FloatArray
from flatshot.evaluation.result import Result
from flatshot.formats.files import StrPath, is_file, read_bytes
from flatshot.formats.sniffing import HEAD, mistaken
from flatshot.records.packing import DETECTIONS, TIMES
from flatshot.records.record import Record
from flatshot.records.store import Records
from flatshot.report.study import Study


def load_studies(
    keys: Sequence[str],
    store: Records,
    *,
    dataset: CocoDataset | None = None,
    detections: StrPath | None = None,
) -> list[Study]:
    """The runs that `keys` name, ready to be shown.

    Args:
        keys: records (uid, beginning of one, or name), or JSON files that `benchmark --json` or
            `records export` wrote.
        store: the records.
        dataset: the data set that they were measured on, where it is no longer in its place.
        detections: a file of COCO results: the detections of a result that does not keep them.

    Raises:
        RecordError: no such record, a file that is no result, or detections that are gone.
        DatasetError, FileError: the data set is gone.
    """
    told = [_read(key, store) for key in keys]
    if detections is not None:
        if len(told) != 1:
            raise RecordError("--detections are those of one result: name one")
        told = [(told[0][0], told[0][1], _coco_results(detections), None)]
    names = _names([(label, content) for label, content, _, _ in told])
    sets: dict[str, CocoDataset] = {}
    studies = []
    for name, (label, content, rows, seconds) in zip(names, told, strict=True):
        if rows is None:
            raise RecordError(
                f"{label} keeps no detections: measure with --record and name the record, "
                "or give them with --detections"
            )
        place = dataset or _dataset(label, content, sets)
        studies.append(Study(name, content, rows, place, seconds))
    return studies


def study_of(result: Result, dataset: CocoDataset, model: str, place: str) -> Study:
    """The run that has just been measured: `model` on the data set at `place`."""
    content = {"model": model, "dataset": place, **result.to_json()}
    return Study(PurePath(model).name, content, result.detections, dataset, result.times.latency)


Told = tuple[str, Mapping[str, Any], FloatArray | None, FloatArray | None]


def _read(key: str, store: Records) -> Told:
    if is_file(key):
        return _from_file(key, store)
    return _from_record(store.get(key), store)


def _from_record(record: Record, store: Records) -> Told:
    label = record.name or f"record {record.uid[:8]}"
    if DETECTIONS not in record.artefacts:
        return label, record.content, None, None
    seconds = store.times(record).latency if TIMES in record.artefacts else None
    return label, record.content, store.detections(record), seconds


def _from_file(path: str, store: Records) -> Told:
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise _no_json(path, error) from error
    if isinstance(content, dict) and isinstance(content.get("content"), dict):  # an exported record
        rows = content.get("coco_results")
        kept = None if rows is None else _rows(path, rows)
        return path, content["content"], kept, None
    if not isinstance(content, dict) or "metrics" not in content:
        raise RecordError(f"{path!r} is no result: give what `flatshot benchmark --json` wrote")
    if "record" in content:
        _, _, rows, seconds = _from_record(store.get(str(content["record"])), store)
        return path, content, rows, seconds
    return path, content, None, None


def _no_json(path: StrPath, error: Exception) -> RecordError:
    """What to say of a file that is no JSON: what it is instead, where that can be told."""
    wrong = mistaken(read_bytes(path)[:HEAD], "a JSON file")
    return RecordError(f"{path}: {wrong}" if wrong else f"{str(path)!r} is no JSON: {error}")


def _coco_results(path: StrPath) -> FloatArray:
    try:
        rows = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise _no_json(path, error) from error
    return _rows(str(path), rows)


def _rows(path: str, rows: Any) -> FloatArray:
    """COCO results as rows of `metrics.ROW`."""
    try:
        table = [(row["image_id"], *row["bbox"], row["score"], row["category_id"]) for row in rows]
        array = np.array(table, np.float64).reshape(-1, 7)
    except (TypeError, KeyError, ValueError) as error:
        raise RecordError(
            f"{path!r} holds no COCO results: a list of objects with image_id, category_id, "
            "bbox and score"
        ) from error
    return array


def _dataset(label: str, content: Mapping[str, Any], sets: dict[str, CocoDataset]) -> CocoDataset:
    place = content.get("dataset")
    if not isinstance(place, str):
        raise RecordError(f"{label} does not say its data set: name it with --dataset")
    if place not in sets:
        path = Path(place)
        # A result names the annotation file, a record the folder.
        folder = path.parent.parent if path.suffix == ".json" else path
        if not folder.is_dir():
            raise RecordError(
                f"the data set of {label} is no longer at {place!r}: name it with --dataset"
            )
        sets[place] = CocoDataset(folder, annotations=path if path.suffix == ".json" else None)
    return sets[place]


def _names(told: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What to call each run: its model, where that tells them apart, else its record or file."""
    models = [PurePath(str(content.get("model") or label)).name for label, content in told]
    return models if len(set(models)) == len(models) else [label for label, _ in told]
