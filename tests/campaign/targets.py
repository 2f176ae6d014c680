"""The readers, the sound files that a campaign begins with, and what is done with each input."""

import contextlib
import gzip
import io
import json
import random
import shutil
import sqlite3
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import flatshot
from flatshot.compiler.frozen.cut import cut_frozen
from flatshot.demo.tiny import PIPELINE, write_tiny_checkpoint
from flatshot.evaluation.annotations import parse_annotations
from flatshot.evaluation.journal import FORMAT, Journal, _line, _packed
from flatshot.evaluation.outcome import Outcome
from flatshot.formats import snappy
from flatshot.formats.checkpoint import Checkpoint, write_checkpoint
from flatshot.formats.graphdef import Function, Graph, Node
from flatshot.formats.object_graph import load_object_graph, read_object_graph
from flatshot.inspection.inspect import inspect
from flatshot.packages.archive import unpack
from flatshot.packages.catalogue import read_catalogue
from flatshot.packages.environment import variables
from flatshot.packages.install import Installed
from flatshot.records.difference import difference
from flatshot.records.packing import pack_detections, unpack_detections
from flatshot.records.store import Records
from flatshot.runtime import images
from flatshot.runtime.labels import load_labels
from tests.campaign import models, mutation
from tests.campaign.mutation import Mutation
from tests.compiler.graphs import const, node
from tests.compiler.test_each_op import CASES
from tests.formats import test_object_graph as objects
from tests.formats import test_saved_model as saved
from tests.formats.tensorflow_written import ONE, TWO_SHARDS, V1
from tests.formats.tensorflow_written import unpack as write_files
from tests.frozen.exporter import Style, freeze
from tests.hostile import samples
from tests.packages.conftest import catalogue_json, entry_json, part_json

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


@dataclass(frozen=True)
class Target:
    """A reader under attack.

    Attributes:
        make: writes the files of each sound sample into a folder, and gives their bytes.
        use: goes the whole way with the file at a path; whatever comes out is dropped.
        mutations: how inputs are made, each as likely as the others.
        name: of the file that inputs are written to.
        around: writes what else the reader looks for into the folder, once.
    """

    make: Callable[[], list[bytes]]
    use: Callable[[Path], object]
    mutations: tuple[Mutation, ...]
    name: str
    around: Callable[[Path], object] = field(default=lambda folder: None)


def _graphs() -> list[bytes]:
    functional = Graph(
        (*samples.graph().nodes, node("call", "PartitionedCall", "relu", "relu")),
        {"f": Function(("a", "b"), (node("s", "AddV2", "a", "b"),), ("s:z:0",))},
    )
    shapes = [node("s", "Shape", "relu"), node("p", "Prod", "s", "z"), const("z", [0])]
    shaped = Graph((*samples.graph().nodes, *shapes))
    return [g.to_bytes() for g in (samples.graph(), functional, shaped)]


def _cases() -> list[bytes]:
    return [cases[-1].to_bytes() for cases in CASES.values()]


def _use_operator(path: Path) -> None:
    flatshot.convert(flatshot.load_graph(path), output_arrays=["y"]).to_bytes()


def _use_cut(path: Path) -> None:
    cut_frozen(flatshot.load_graph(path))


def _frozen() -> list[bytes]:
    with tempfile.TemporaryDirectory() as place:
        small = PIPELINE.replace("height: 96 width: 96", "height: 40 width: 40")
        write_tiny_checkpoint(place, small)
        graph = freeze(flatshot.export(place, max_detections=10), Style(size=(40, 40)))
    # Its weights are evened out, or most changes would be of them.
    nodes = []
    for one in graph:
        value = one.attrs.get("value")
        attrs = dict(one.attrs)
        if isinstance(value, np.ndarray) and value.nbytes > 4000:
            attrs["value"] = np.broadcast_to(np.float32(0.1), value.shape)
        nodes.append(Node(one.name, one.op, one.inputs, attrs))
    return [Graph(tuple(nodes)).to_bytes()]


def _around_saved_model(folder: Path) -> None:
    write_checkpoint(folder / "variables" / "variables", saved.WEIGHTS)


def _saved_models() -> list[bytes]:
    message = saved._messages()["SavedModel"](version=1)
    message.meta_graphs.append(saved._meta(saved._graph(), "serve"))
    return [message.SerializeToString()]


def _use_folder(path: Path) -> None:
    graph = flatshot.load_graph(path.parent)
    graph.to_bytes()
    with contextlib.suppress(flatshot.FlatshotError):
        flatshot.convert(graph).to_bytes()


def _around_checkpoint(folder: Path) -> None:
    write_checkpoint(folder / "m", {"a/w": np.ones((2, 2), np.float32), "a/b": np.array(3)})
    write_files(ONE, folder)


def _indices() -> list[bytes]:
    found = []
    for files in (ONE, TWO_SHARDS, V1):
        with tempfile.TemporaryDirectory() as place:
            write_files(files, Path(place))
            found += [p.read_bytes() for p in Path(place).iterdir() if p.suffix == ".index"]
            found += [p.read_bytes() for p in Path(place).iterdir() if p.suffix == ".ckpt"]
    return found


def _use_checkpoint(path: Path) -> None:
    found = Checkpoint(path.with_suffix(""))
    load_object_graph(found)
    for name in found:
        with contextlib.suppress(flatshot.FlatshotError):
            found.read(name)


_PICTURES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("JPEG", "RGB", {}), ("JPEG", "L", {"progressive": True}), ("JPEG", "CMYK", {}),
    ("PNG", "RGBA", {}), ("PNG", "P", {}), ("PNG", "1", {}), ("PNG", "I;16", {}),
    ("GIF", "P", {}), ("BMP", "RGB", {}), ("WEBP", "RGB", {}), ("PPM", "RGB", {}),
    ("TIFF", "RGB", {}), ("TIFF", "L", {"compression": "jpeg"}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TGA", "RGB", {"compression": "tga_rle"}),
    ("JPEG2000", "RGB", {}), ("AVIF", "RGB", {}), ("QOI", "RGB", {}),
)  # fmt: skip


def _pictures() -> list[bytes]:
    found = []
    pixels = np.kron(PIXELS, np.ones((3, 3, 1), np.uint8))
    for kind, mode, more in _PICTURES:
        file = io.BytesIO()
        with contextlib.suppress(KeyError, OSError, ValueError):
            Image.fromarray(pixels).convert(mode).save(file, kind, **more)
            found.append(file.getvalue())
    return found


def _archives() -> list[bytes]:
    found = []
    for kind in ("w", "w:gz", "w:bz2", "w:xz"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=kind) as archive:
            for name, content in (("a/b.txt", b"hello"), ("c", b"x" * 900), ("a" * 120, b"long")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("a/link")
            link.type, link.linkname = tarfile.SYMTYPE, "b.txt"
            archive.addfile(link)
        found.append(file.getvalue())
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", packing) as zipped:
            zipped.writestr("a/b.txt", b"hello" * 50)
            zipped.writestr("c", b"")
        found.append(file.getvalue())
    return found


def _use_archive(path: Path) -> None:
    out = path.with_name("out")
    try:
        unpack(path, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _compressed_tar(data: bytes, rng: random.Random) -> bytes:
    """A tar.gz whose tar is changed, not its compression."""
    if data[:2] != b"\x1f\x8b":
        return mutation.tar_header(data, rng)
    inner = mutation.tar_header(gzip.decompress(data), rng)
    return gzip.compress(inner, 1)


def _stores() -> list[bytes]:
    with tempfile.TemporaryDirectory() as place:
        with Records(place) as store:
            for number in range(3):
                store.add({"mAP": 0.5, "settings": {"n": number}}, name="r", tags=["a", "b"])
        db = sqlite3.connect(f"{place}/records.sqlite")
        db.execute("PRAGMA journal_mode = DELETE")
        db.close()
        return [Path(place, "records.sqlite").read_bytes()]


def _use_store(path: Path) -> None:
    for left in path.parent.glob("records.sqlite-*"):
        left.unlink()
    with Records(path.parent) as store:
        difference(store.find(["a"]), everything=True)


def _journals() -> list[bytes]:
    empty = np.zeros((1, 4), np.float32)
    one = Outcome(
        image_id=1, width=3, height=4, boxes=empty, scores=np.ones(1, np.float32),
        classes=np.ones(1, np.int32), seconds=(0.1, 0.1, 0.1, 0.1),
    )  # fmt: skip
    head = {"format": FORMAT, "model": "m", "settings": {"a": 1}}
    return [_line(head) + _line(_packed(one)) * 2]


def _use_journal(path: Path) -> None:
    with Journal(path, {"model": "m", "settings": {"a": 1}}):
        pass


def _use_catalogue(path: Path) -> None:
    for package in read_catalogue(path.read_bytes(), "mine.json"):
        variables(Installed(package, path.parent))
        str(package.words) + package.uid


def _catalogues() -> list[bytes]:
    part = part_json("https://h/x.zip!a", sha256="0" * 64, bytes=3)
    tree = part_json("npm:a@1.0", "file:/x", unpack=True, strip=1, only=["*.jpg"], to=".")
    return [catalogue_json(entry_json(part, tree, exports={"A": "./x", "B": "y"}))]


def _annotations() -> list[bytes]:
    box = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    return [
        json.dumps(
            {
                "images": [{"id": 7, "file_name": "a.jpg", "width": 9, "height": 9}],
                "annotations": [
                    box,
                    {**box, "id": 2, "iscrowd": 1, "segmentation": []},
                ],
                "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
            }
        ).encode()
    ]


def _use_annotations(path: Path) -> None:
    parse_annotations(path, path.read_bytes())


LABELS = (
    b'item { id: 1 name: "a" display_name: "cat" }\nitem: < id: 0x2, name: \'d\' "og"; > # end\n',
    b"???\nperson\n\nbicycle\n", b"0 background\n1 cat\n2 dog\n", b'["cat", "dog"]',
    b'{"0": "cat", "1": "dog"}', b"id,name\n1,cat\n2,dog\n3,cow\n", b"names:\n  0: cat\n  1: dog\n",
    b'{"categories": [{"id": 1, "name": "cat"}]}',
)  # fmt: skip


MODEL_JSON = b"""{"format": "graph-model", "modelTopology": {"node": [
{"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"},
 "shape": {"shape": {"dim": [{"size": "1"}, {"size": "4"}, {"size": "4"}, {"size": "2"}]}}}},
{"name": "w", "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}}},
{"name": "raw_outputs/box_encodings", "op": "Conv2D", "input": ["x", "w"],
 "attr": {"strides": {"list": {"i": ["1", "1", "1", "1"]}}, "padding": {"s": "U0FNRQ=="},
 "T": {"type": 1}, "use_cudnn_on_gpu": {"b": true}, "e": {"f": 0.5}}},
{"name": "raw_outputs/class_predictions", "op": "Relu", "input": ["raw_outputs/box_encodings"]}]},
"weightsManifest": [{"paths": ["g.bin"], "weights": [{"name": "w", "shape": [1, 1, 2, 4],
"dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.1, "min": -1.0}}]}]}"""


def _around_tfjs(folder: Path) -> None:
    (folder / "g.bin").write_bytes(bytes(range(8)))


# A model with a variable, its optimizer's slot and one that is reached by no name.
OBJECTS = objects.graph(
    objects.field(1, objects.field(1, 1) + objects.field(2, "model"))
    + objects.slot(1, "momentum", 2),
    objects.variable("v", "model/v"),
    objects.variable("SGD/v/momentum", "model/v/slot"),
)
_TEXT = (mutation.text, mutation.raw)
_JSON = (mutation.object_text, mutation.object_text, mutation.text)
_WIRE = (mutation.wire, mutation.wire, mutation.wire, mutation.raw)
_TABLES = (mutation.tables, mutation.tables, mutation.tables, mutation.raw)

TARGETS: dict[str, Target] = {
    "detector": Target(models.detectors, models.detect, _TABLES, "m.tflite"),
    "compare": Target(models.operators, models.compare, _TABLES, "m.tflite"),
    "inspect.tflite": Target(models.detectors, inspect, _TABLES, "m.tflite"),
    "edit.tflite": Target(models.detectors, models.edit_all_ways, _TABLES, "m.tflite"),
    "tflite to IR": Target(models.all_models, models.read_back, _TABLES, "m.tflite"),
    "metadata": Target(models.metadata, models.use_metadata, (mutation.raw,), "metadata"),
    "object graph": Target(
        lambda: [OBJECTS], lambda path: read_object_graph(path.read_bytes()), _WIRE, "objects.pb"
    ),
    "graph.pb": Target(_graphs, samples.use_graph, _WIRE, "graph.pb"),
    "operators.pb": Target(_cases, _use_operator, _WIRE, "graph.pb"),
    "frozen.pb": Target(_frozen, _use_cut, _WIRE, "graph.pb"),
    "graph.pbtxt": Target(
        lambda: [b"".join(samples.graph().to_text())], samples.use_graph, _TEXT, "graph.pbtxt"
    ),
    "saved_model": Target(_saved_models, _use_folder, _WIRE, "saved_model.pb", _around_saved_model),
    "tfjs": Target(lambda: [MODEL_JSON], samples.use_graph, _JSON, "model.json", _around_tfjs),
    "checkpoint": Target(
        _indices, _use_checkpoint, (mutation.index, mutation.raw), "model.ckpt.index",
        _around_checkpoint,
    ),
    "snappy": Target(
        lambda: [b"\x0b\x28hello world", b"\x40\x0cabcd\xf2\x04\x00", b"\x80\x08\xf4\xff\x03abc"],
        lambda path: snappy.decompress(path.read_bytes()), (mutation.raw,), "s",
    ),
    "pipeline.config": Target(
        lambda: [PIPELINE.encode()], samples.use_pipeline, _TEXT, "pipeline.config"
    ),
    "labels": Target(lambda: list(LABELS), load_labels, _TEXT, "labels.pbtxt"),
    "images": Target(_pictures, images.load, (mutation.raw,), "a.jpg"),
    "archives": Target(
        _archives, _use_archive, (_compressed_tar, _compressed_tar, mutation.raw), "a.tar"
    ),
    "records": Target(_stores, _use_store, (mutation.raw,), "records.sqlite"),
    "detections": Target(
        lambda: [pack_detections(np.arange(21.0).reshape(3, 7))],
        lambda path: unpack_detections(path.read_bytes()), (mutation.raw,), "d.npz",
    ),
    "journal": Target(_journals, _use_journal, (mutation.checked_lines, mutation.raw), "journal"),
    "catalogue": Target(_catalogues, _use_catalogue, _JSON, "mine.json"),
    "annotations": Target(_annotations, _use_annotations, _JSON, "instances.json"),
}  # fmt: skip
