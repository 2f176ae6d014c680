"""The verifier: what it lets through, what it stops, and the first run in a child process."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import flatshot
from flatshot.errors import ModelError
from flatshot.formats import tflite
from flatshot.formats.tflite import Builtin, Quantization, TensorType, TFLiteModel
from flatshot.runtime.detector import Detector
from flatshot.runtime.verifier import trial
from flatshot.runtime.verifier.growth import elements
from flatshot.runtime.verifier.operators import SIGNATURES
from flatshot.runtime.verifier.structure import verify
from tests.compiler.test_each_op import CASES
from tests.runtime.tiny import Builder, Tiny, ints

PIXELS = np.zeros((8, 6, 3), np.uint8)


def tiny_model(**changes: Any) -> TFLiteModel:
    """A sound detector: RESHAPE, LOGISTIC and the post-processing."""
    return tflite.read_model(Tiny(**changes).bytes())


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
@pytest.mark.parametrize("anchors", ["float32", "float16", "computed"])
@pytest.mark.parametrize("cut", [False, True])
def test_sound_detectors_pass(dtype: Any, anchors: str, cut: bool) -> None:
    """Of every element type, whole and cut."""
    verify(tiny_model(dtype=dtype, anchors="uint8" if dtype != np.float32 else anchors, cut=cut))


def test_published_models_pass(data: Path) -> None:
    """What TOCO and others made, of floats and of integers."""
    paths = [
        path
        for path in data.rglob("*.tflite")
        if path.relative_to(data).parts[0] not in ("attacks", "cases")
    ]
    assert len(paths) >= 4
    for path in paths:
        verify(tflite.read_model(path.read_bytes()))


def test_options_tables_are_those_of_the_schema() -> None:
    """Each operator's table bears its name, but for a few that share one or have none."""
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    tables = {v: k for k, v in vars(schema.BuiltinOptions).items() if isinstance(v, int)}
    shared = {
        "Pool2DOptions": {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"},
        "MaximumMinimumOptions": {"MAXIMUM", "MINIMUM"},
        "L2NormOptions": {"L2_NORMALIZATION"},
        "ReducerOptions": {
            *("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY"),
            "REDUCE_ALL",
        },
    }
    for code, signature in SIGNATURES.items():
        if not signature.options:
            continue
        table = tables[signature.options]
        own = names[code].replace("_", "").lower() + "options"
        assert table.lower() == own or names[code] in shared.get(table, ()), names[code]


@pytest.mark.parametrize("kind", sorted(CASES))
def test_whatever_the_compiler_writes_passes(kind: str) -> None:
    """One small model for each operator that the compiler knows."""
    for source in CASES[kind]:
        made = flatshot.convert(source, output_arrays=["y"], inference_type="FLOAT")
        verify(tflite.read_model(made.to_bytes()))


def change_code(model: TFLiteModel, number: int, code: int) -> None:
    """Give an operator another code."""
    found = model.operator_codes[model.subgraphs[0].operators[number].opcode_index]
    found.builtin_code, found.deprecated_builtin_code = code, min(code, 127)


def graph_of(model: TFLiteModel) -> tflite.SubGraph:
    """The sub-graph."""
    return model.subgraphs[0]


def quantize(**tables: Any) -> Callable[[TFLiteModel], None]:
    """Give the first tensor these tables."""

    def change(model: TFLiteModel) -> None:
        graph_of(model).tensors[0].quantization = Quantization(**tables)

    return change


def swap_operators(model: TFLiteModel) -> None:
    """The second operator before the first."""
    graph_of(model).operators[:2] = graph_of(model).operators[1::-1]


def tensor(index: int, **fields: Any) -> Callable[[TFLiteModel], None]:
    """Change fields of a tensor."""

    def change(model: TFLiteModel) -> None:
        for name, value in fields.items():
            setattr(graph_of(model).tensors[index], name, value)

    return change


def operator(index: int, **fields: Any) -> Callable[[TFLiteModel], None]:
    """Change fields of an operator."""

    def change(model: TFLiteModel) -> None:
        for name, value in fields.items():
            setattr(graph_of(model).operators[index], name, value)

    return change


# Tensors: 0 image, 1 shape, 2 boxes, 3 scores, 4 anchors, 5 to 8 what comes out.
CHANGES: list[tuple[Callable[[TFLiteModel], None], str]] = [
    (operator(0, inputs=ints(0, -1)), "RESHAPE: its input 1 is missing"),
    (operator(0, inputs=ints()), "it has 0 inputs"),
    (operator(0, inputs=ints(0, 1, 1)), "it has 3 inputs"),
    (operator(0, outputs=ints(2, 3)), "it has 2 outputs"),
    (operator(0, outputs=ints(-1)), "an output is missing"),
    (operator(2, outputs=ints(5, 6, 7, 7)), "there twice"),
    (operator(1, outputs=ints(2)), "has a value before"),
    (operator(1, outputs=ints(0)), "has a value before"),
    (operator(1, outputs=ints(4)), "has a value before"),
    (operator(0, options_type=35), "options are of another operator"),
    (lambda m: change_code(m, 0, Builtin.SPLIT), "it has no options"),
    (lambda m: change_code(m, 1, 118), "none of the operators that are run here"),
    (lambda m: change_code(m, 1, 142), "none of the operators that are run here"),
    (tensor(2, type=TensorType.INT32), "element type INT32"),
    (tensor(2, type=99), "element type number 99"),
    (tensor(1, type=TensorType.FLOAT32), "element type FLOAT32"),
    (tensor(4, shape=ints(35, 4)), "do not fill its shape"),
    (tensor(4, shape=ints(4, 36)), "and [4, 36]; it takes"),
    (tensor(2, shape=ints(1, 35, 4)), "[1, 35, 4], [1, 36, 4] and [36, 4]"),
    (tensor(2, shape=ints(1, -36, 4)), "has shape [1, -36, 4]"),
    (tensor(2, shape=ints(*[1] * 9)), "9 dimensions"),
    (tensor(2, shape=ints(2**20, 2**20, 4)), "over 2 GiB"),
    (tensor(5, type=TensorType.INT64), "element type INT64"),
    (swap_operators, "'box_encodings', which nothing computed yet"),
    (lambda m: setattr(graph_of(m), "outputs", ints(3, 8)), ""),
    (lambda m: graph_of(m).operators.clear(), "nothing computes the output"),
    (quantize(scale=np.ones(1, np.float32), zero_point=np.zeros(0, np.int64)), "0 zero points"),
    (quantize(scale=np.array([np.nan], np.float32)), "scales that cannot be"),
    (quantize(scale=np.array([-1], np.float32)), "scales that cannot be"),
    (quantize(scale=np.ones(2, np.float32), axis=3), "2 scales along its axis 3"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_what_litert_cannot_be_trusted_with_is_refused(
    change: Callable[[TFLiteModel], None], message: str
) -> None:
    """The message says what is wrong; an empty one that nothing is."""
    model = tiny_model()
    change(model)
    again = tflite.read_model(bytes(tflite.write_model(model)))
    if not message:
        verify(again)
        return
    with pytest.raises(ModelError) as caught:
        verify(again)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("code", "shapes", "constants", "count"),
    [
        (23, [(1, 2, 3, 4), (2,)], [None, ints(50, 60)], 1 * 4 * 50 * 60),
        (94, [(2,), ()], [ints(7, 9), None], 63),
        (130, [(1,), (2,)], [None, ints(7, 9)], 63),
        (67, [(4,), (), ()], [ints(1, 2, 3, 4), None, None], 24),
        (69, [(2, 3), (2,)], [None, ints(10, 10)], 600),
        (34, [(2, 3), (2, 2)], [None, ints(0, 1, 2, 2)], 21),
        (0, [(2, 1), (1, 5)], [None, None], 10),
        (0, [(2, 3), (4, 5)], [None, None], None),
        (69, [(2, 3), (2,)], [None, None], None),
        (14, [(2, 3)], [None], None),
    ],
)
def test_how_much_operators_make(code: int, shapes: Any, constants: Any, count: int | None) -> None:
    """From what is constant and declared; None where that does not tell."""
    assert elements(code, shapes, constants) == count


def test_more_than_is_declared_is_refused() -> None:
    """A size of millions behind a declared shape of a few."""
    build = Builder()
    image = build.tensor("x", (1, 4, 4, 3))
    size = build.tensor("size", (2,), np.int32, ints(4000, 4000))
    out = build.tensor("y", (1, 8, 8, 3))
    options = tflite.ResizeBilinearOptions()
    build.operator(Builtin.RESIZE_BILINEAR, [image, size], [out], options_type=15, options=options)
    with pytest.raises(ModelError, match=r"makes 48000000 elements, and 'y' is declared with"):
        verify(tflite.read_model(build.build([image], [out])))


def test_shapes_that_only_running_shows_are_not_given_to_the_operator() -> None:
    """The file says [36, 4], and the operator would get [1, 4]."""
    model = tiny_model(anchors="computed")
    graph = graph_of(model)
    names = [t.name for t in graph.tensors]
    model.buffers[graph.tensors[names.index("source")].buffer].data = np.zeros(16, np.uint8)
    graph.tensors[names.index("source")].shape = ints(1, 4)
    model.buffers[graph.tensors[names.index("size")].buffer].data = ints(1, 4).view(np.uint8)
    with pytest.raises(ModelError, match=r"and \[1, 4\]; it takes"):
        Detector(bytes(tflite.write_model(model)))


class TestTrial:
    """The first run of a model, in a child process."""

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A home that knows no model, where models are tried."""
        monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path / "home"))
        monkeypatch.delenv(trial.TRUST)
        return tmp_path / "home"

    def test_a_sound_model_is_tried_once(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its hash is remembered; the next start needs no child."""
        model = Tiny().bytes()
        first = Detector(model)
        (line,) = (home / "tried-models").read_text().splitlines()
        assert line.startswith(f"{first.sha256} numpy ")
        monkeypatch.setattr(trial, "Trial", None)
        Detector(model).fork()
        with pytest.raises(TypeError):
            Detector(model, postprocess="op")

    def test_a_model_made_here_is_not_tried(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the compiler made in this process; its bytes alone are a stranger's."""
        made = flatshot.convert(flatshot.export(tiny))
        monkeypatch.setattr(trial, "Trial", None)
        Detector(made)
        with pytest.raises(TypeError):
            Detector(bytes(made.to_bytes()))

    def test_a_model_that_kills_its_process_is_refused(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the name of the signal, and it is tried again the next time."""
        suicide = "import os, signal; say.flush(); os.kill(os.getpid(), signal.SIGSEGV)\n"
        code = trial._CHILD.replace("try:\n    run =", suicide + "try:\n    run =")
        monkeypatch.setattr(trial, "_CHILD", code)
        for _ in range(2):
            with pytest.raises(ModelError, match=r"the model: LiteRT dies of it \(SIGSEGV\)"):
                Detector(Tiny().bytes())
        assert not (home / "tried-models").exists()

    def test_files_that_crash_litert_die_in_the_child(self, data: Path) -> None:
        """Past the structure, the trial alone would have stopped this one."""
        path = data / "attacks/01-litert-crash/0-SIGSEGV-another-tensor-in-inputs.tflite"
        running = trial.begin(path.read_bytes(), "x")
        assert running is not None
        with pytest.raises(ModelError, match=r"dies of it \(SIG"):
            running.finish()

    def test_a_model_without_an_end_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And its process with it."""
        code = trial._CHILD.replace("try:\n    run =", "while True: pass\ntry:\n    run =")
        monkeypatch.setattr(trial, "_CHILD", code)
        monkeypatch.setattr(trial, "_MAX_SECONDS", 2)
        with pytest.raises(ModelError, match="did not come to an end with it in 2 seconds"):
            Detector(Tiny().bytes())

    @pytest.mark.parametrize("executable", ["", "/nowhere/python", "/usr/sbin/uwsgi"])
    def test_where_no_child_can_be_started_the_model_runs_all_the_same(
        self, executable: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sandbox, a Python within another program."""
        monkeypatch.setattr(sys, "executable", executable)
        assert Detector(Tiny().bytes())(PIXELS) is not None
        assert not home.exists()

    def test_a_child_without_litert_is_no_verdict(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It says so to whoever listens closely."""
        monkeypatch.setattr(trial, "_CHILD", "raise ImportError")
        with caplog.at_level(logging.DEBUG, "flatshot"):
            Detector(Tiny().bytes())
        assert "the child process could not load LiteRT" in caplog.text
        assert not home.exists()

    def test_a_home_that_cannot_be_written_costs_the_trial_each_time(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nothing else."""
        home.write_text("in the way")
        Detector(Tiny().bytes())
        assert home.read_text() == "in the way"
