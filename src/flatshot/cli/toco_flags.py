"""Flags of toco and tflite_convert that published command lines have and that change nothing here.

Those without effect are accepted and named in one notice; values that ask for what is not made are
refused, with what to write instead.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

_log = logging.getLogger("flatshot")
F = TypeVar("F", bound=Callable[..., Any])

_QUANTIZE = "it is done after training: see `flatshot quantize`"
_SAVED_MODEL = "give its directory as SOURCE: flatshot convert DIRECTORY -o OUT.tflite"
# Switches that change nothing of a model that is written here, whatever their value.
_SWITCHES = (
    *("drop_control_dependency", "drop_fake_quant", "reorder_across_fake_quant", "logtostderr"),
    *("alsologtostderr", "enable_v1_converter", "experimental_new_converter"),
    *("experimental_new_quantizer", "dump_graphviz_video", "propagate_fake_quant_num_bits"),
    *("allow_nudging_weights_to_use_fast_gemm_kernel", "split_tflite_lstm_inputs"),
    *("debug_disable_recurrent_cell_fusion", "ignore_nonexistent_arrays", "force_select_tf_ops"),
    *("enable_select_tf_ops", "allow_nonexistent_arrays", "unfold_batchmatmul"),
)
# Flags whose value changes nothing either.
_VALUES = (
    *("dump_graphviz", "dump_graphviz_dir", "dedupe_array_min_size_bytes", "v", "verbosity"),
    *("stderrthreshold", "conversion_summary_dir", "arrays_extra_info_file", "model_flags_file"),
    *("custom_opdefs", "toco_binary", "vmodule", "minloglevel"),
)
# Flags with the values that ask for what is written anyway, and what to do about all others.
_CHOICES = {
    "output_format": (("TFLITE",), "Flatshot writes TensorFlow Lite models only: leave it out"),
    "input_format": (
        ("TENSORFLOW_GRAPHDEF",),
        "what SOURCE is follows from what it holds: leave it out",
    ),
    "input_type": (("FLOAT",), "the graph's own input type is kept: leave it out"),
    "input_types": (("FLOAT",), "the graph's own input type is kept: leave it out"),
    "input_data_types": (("FLOAT",), "the graph's own input type is kept: leave it out"),
    "inference_input_type": (
        ("FLOAT", "FLOAT32"),
        "a graph trained with quantisation takes --inference_type=QUANTIZED_UINT8; for others "
        f"{_QUANTIZE}",
    ),
    "inference_output_type": (("FLOAT", "FLOAT32"), f"the outputs stay float; else {_QUANTIZE}"),
    "target_ops": (
        ("TFLITE_BUILTINS", "TFLITE_BUILTINS,SELECT_TF_OPS"),
        "Flatshot writes builtin operators only: leave it out",
    ),
}
_REFUSED_SWITCHES = {
    "post_training_quantize": _QUANTIZE,
    "quantize_weights": _QUANTIZE,
    "quantize_to_float16": _QUANTIZE,
}
_REFUSED_VALUES = {
    "saved_model_dir": _SAVED_MODEL,
    "savedmodel_directory": _SAVED_MODEL,
    "saved_model_tag_set": f"the only set of tags is taken; {_SAVED_MODEL}",
    "saved_model_signature_key": f"the serving signature is taken; {_SAVED_MODEL}",
    "keras_model_file": "export it as a SavedModel, or give the checkpoint as SOURCE",
    "keras_model": "export it as a SavedModel, or give the checkpoint as SOURCE",
    "rnn_states": "detectors have none",
}


def toco_options(command: F) -> F:
    """`command` with the flags, which its help leaves out."""
    for name in (*_SWITCHES, *_REFUSED_SWITCHES):
        flag = click.option(f"--{name}/--no{name}", default=None, hidden=True, expose_value=True)
        command = flag(command)
    for name in (*_VALUES, *_CHOICES, *_REFUSED_VALUES):
        command = click.option(f"--{name}", default=None, hidden=True)(command)
    return command


def check_toco_flags(options: dict[str, Any], inference_type: str | None) -> list[str]:
    """Which of the flags are given and have no effect; all of them are taken out of `options`.

    Raises:
        click.UsageError: one asks for what is not made; the message says what to write instead.
    """
    given = [name for name in (*_SWITCHES, *_VALUES) if options.pop(name) is not None]
    for name, reason in _REFUSED_SWITCHES.items():
        value = options.pop(name)
        if value:
            raise click.UsageError(f"--{name} is not honoured: {reason}")
        given += [name] if value is not None else []
    for name, reason in _REFUSED_VALUES.items():
        if options.pop(name) is not None:
            raise click.UsageError(f"--{name} is not honoured: {reason}")
    for name, (usual, reason) in _CHOICES.items():
        value = options.pop(name)
        if value is None:
            continue
        parts = {part.strip("'\" ").upper() for part in value.split(",")}
        accepted = {word for one in usual for word in one.split(",")}
        asked = inference_type if name == "inference_input_type" else None
        if not parts <= accepted and parts != {asked}:
            raise click.UsageError(f"--{name}={value} is not honoured: {reason}")
        given.append(name)
    return given


def report_toco_flags(given: Sequence[str]) -> None:
    """The one notice of flags without effect."""
    if given:
        _log.warning(
            "without effect here: %s; the model is the same without",
            ", ".join(f"--{name}" for name in given),
        )
