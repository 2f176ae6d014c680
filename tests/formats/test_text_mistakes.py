"""Mistakes in what is skipped have a place, and Windows' paths and marks are no mistakes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FlatshotError
from flatshot.formats.pipeline import load_pipeline, read_pipeline
from flatshot.formats.text_mistakes import first_mistake, readable

GOOD = """# of mine
model { ssd { num_classes: 3 } }
train_config: {
  batch_size: 24; fine_tune_checkpoint: "a" 'b'
  data_augmentation_options { random_horizontal_flip {} }
  optimizer < momentum_optimizer: { value: -1.5e-3 } >
  scales: [1, 2.0, inf], list: [{ a: 1 }, { a: 2 }]
}
eval_input_reader: [{ shuffle: false }, { shuffle: true }]
"""


def test_good_texts_have_no_mistake() -> None:
    """All that the format allows."""
    assert first_mistake(GOOD) is None
    assert read_pipeline(GOOD).model.ssd.num_classes == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train_config {\n  a: \u201cx\u201d\n}", "line 2, column 6: a value of 'a'"),
        ("train_config {\n  a: 1\n  b:\n}", "line 4, column 1: a value of 'b'"),
        ('train_config {\n  a: "x\n}', "line 2, column 6: the text that begins here"),
        ("train_config {\n  a 1\n}", "line 2, column 5: 'a' lacks its ':'"),
        ("train_config {\n  a: 1\n  2\n}", "line 3, column 3: a field's name"),
        ("train_config {\n  a: 1\n", "line 1, column 1: train_config is opened here"),
        ("train_config {\n  a {\n    b: 1\n}\n", "line 2, column 3: a is opened here"),
        ("train_config {\n}\n}", "line 3, column 1: nothing is open"),
        ("train_config {\n  a: [1, 2\n}", "line 3, column 1: 'a' of line 2 cannot be closed"),
        ("train_config {\n  a: = 1\n}", "line 2, column 6: a value of 'a'"),
    ],
)
def test_mistakes_have_a_place(text: str, says: str) -> None:
    """Line and column, as an editor counts them; the same from the reader of configurations."""
    mistake = first_mistake(text)
    assert mistake is not None
    assert says in mistake
    with pytest.raises(FlatshotError) as caught:
        read_pipeline(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "path", ["D:\\data\\map.pbtxt", "C:\\Users\\me\\x", "\\\\server\\share\\u12", "D:\\x\\y\\"[:-1]]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_from_windows(path: str, encoding: str) -> None:
    """Backslashes that are no escapes, byte order marks, UTF-16 and CR LF change no model."""
    text = f'model {{ ssd {{ num_classes: 3 }} }}\r\ntrain_config {{ path: "{path}" }}\r\n'
    assert read_pipeline(text.encode(encoding)).model.ssd.num_classes == 3


def test_letters_of_one_byte() -> None:
    """Comments and paths in the letters of an older Windows."""
    text = (
        'model { ssd { num_classes: 3 } } # gr\u00f6\u00dfer\ntrain_config { path: "C:/B\u00f6" }'
    )
    assert read_pipeline(text.encode("cp1252")).model.ssd.num_classes == 3


def test_escapes_stay_escapes() -> None:
    """Those of the text format, whole."""
    text = r"""a: "\n\\ \"q\" \x41 \101 \u00e9" b: "\d" # "\d"""
    assert readable(text.encode()) == text.replace(r'b: "\d"', r'b: "\\d"')


@given(st.text(alphabet="ab1:{}<>[]\"'\\,; \n#.-", max_size=60))
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    """Never another exception, and never a mistake found in what protobuf takes."""
    mistake = first_mistake(text)
    try:
        read_pipeline("model { ssd { num_classes: 3 } }\n" + text)
    except FlatshotError:
        return
    assert mistake is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("curly_quotes", "line 28, column 40"),
        ("no_number", "line 32, column 1"),
        ("quote_not_closed", "line 23, column 25"),
        ("brace_missing", "line 26, column 1: train_input_reader is opened here and never closed"),
    ],
)
def test_the_mistakes_that_people_made(data: Path, name: str, says: str) -> None:
    """With the place that TensorFlow's own parser gives."""
    case = data / "cases" / "02-config-mistake-in-training-section"
    with pytest.raises(FlatshotError, match=says):
        load_pipeline(case / f"{name}.config")


@pytest.mark.parametrize("name", ["backslashes", "byte_order_mark", "user_folder"])
def test_the_files_from_windows(data: Path, name: str) -> None:
    """They give what the plain one gives."""
    case = data / "cases" / "03-config-windows"
    plain = load_pipeline(case / "plain.config")
    assert load_pipeline(case / f"{name}.config") == plain
