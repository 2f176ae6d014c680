"""Published command lines of toco and tflite_convert run, or say which flag is not honoured."""

from pathlib import Path

import pytest

from flatshot.cli.main import run


@pytest.fixture(scope="module")
def plain(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of the plain command line."""
    path = tmp_path_factory.mktemp("plain") / "a.tflite"
    assert run(["convert", str(tiny), "-o", str(path)]) == 0
    return path.read_bytes()


@pytest.mark.parametrize(
    "flags",
    [
        ["--output_format=TFLITE"],
        ["--input_format=TENSORFLOW_GRAPHDEF"],
        ["--input-format", "TENSORFLOW_GRAPHDEF"],
        ["--input_type=FLOAT"],
        ["--input_data_types", "FLOAT"],
        ["--mean_values=128", "--std_dev_values=128"],
        ["--mean_value=128", "--std_value=127"],
        ["--change_concat_input_ranges=false"],
        ["--default_ranges_min=0", "--default_ranges_max=6"],
        ["--inference_input_type=FLOAT"],
        ["--inference_output_type=FLOAT"],
        ["--drop_control_dependency", "--logtostderr"],
        ["--drop_fake_quant=true", "--reorder_across_fake_quant=false"],
        ["--dump_graphviz_dir=/tmp/x", "--v=1"],
        ["--post_training_quantize=false"],
        ["--target_ops=TFLITE_BUILTINS"],
        ["--experimental_new_converter=true", "--enable_v1_converter"],
    ],
)
def test_flags_that_change_nothing(
    tiny: Path, plain: bytes, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes, and one notice that names the flags."""
    assert run(["convert", *flags, str(tiny), "-o", str(tmp_path / "a.tflite")]) == 0
    assert (tmp_path / "a.tflite").read_bytes() == plain
    said = capsys.readouterr().err
    assert said.count("without effect here") == 1
    name = flags[0].lstrip("-").partition("=")[0].replace("-", "_").removesuffix("_min")
    assert name.removesuffix("s") in said


@pytest.mark.parametrize(
    "flags",
    [
        ["--input_shape=1,96,96,3"],
        ["--input_array=normalized_input_image_tensor"],
        ["--allow_custom_ops", "--inference_type=FLOAT"],
        ["--output_array=TFLite_Detection_PostProcess,TFLite_Detection_PostProcess:1,"
         "TFLite_Detection_PostProcess:2,TFLite_Detection_PostProcess:3"],
    ],
)  # fmt: skip
def test_flags_in_other_spellings(
    tiny: Path, plain: bytes, flags: list[str], tmp_path: Path
) -> None:
    """They mean what the plain command line does by itself."""
    assert run(["convert", *flags, str(tiny), "-o", str(tmp_path / "a.tflite")]) == 0
    assert (tmp_path / "a.tflite").read_bytes() == plain


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--output_format=TENSORFLOW_GRAPHDEF", "writes TensorFlow Lite models only"),
        ("--inference_input_type=QUANTIZED_UINT8", "--inference_type=QUANTIZED_UINT8"),
        ("--post_training_quantize", "flatshot quantize"),
        ("--quantize_weights=true", "flatshot quantize"),
        ("--saved_model_dir=x", "flatshot convert DIRECTORY"),
        ("--keras_model_file=x.h5", "SavedModel"),
        ("--target_ops=SELECT_TF_OPS,OTHER", "builtin operators only"),
    ],
)
def test_flags_for_what_is_not_made(
    tiny: Path, flag: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused by name, with what to write instead; nothing is written."""
    assert run(["convert", flag, str(tiny), "-o", str(tmp_path / "a.tflite")]) == 2
    said = capsys.readouterr().err
    assert f"{flag.partition('=')[0]}" in said
    assert says in said
    assert "No such option" not in said
    assert not (tmp_path / "a.tflite").exists()
