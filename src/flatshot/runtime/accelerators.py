"""Models that were compiled for an accelerator, or need operators that LiteRT lacks: by name."""

from flatshot.errors import ModelError
from flatshot.formats import tflite

# Custom operators that hold a compiled program -> whose accelerator that is for.
_COMPILED = {
    "edgetpu-custom-op": ("Google's Edge TPU", " (the name without _edgetpu)"),
    "ethos-u": ("Arm's Ethos-U (Vela)", " (the name without _vela)"),
    "DISPATCH_OP": ("one kind of NPU (LiteRT's compiler)", ""),
    "QnnDispatch": ("Qualcomm's NPU", ""),
    "NeuronOp": ("MediaTek's NPU", ""),
    "vsi-npu": ("VeriSilicon's NPU", ""),
}


def compiled_for(model: tflite.TFLiteModel) -> str | None:
    """Which accelerator a model was compiled for and what to give instead; None if for none."""
    for code in model.operator_codes:
        for name, (whose, hint) in _COMPILED.items():
            if code.code == tflite.Builtin.CUSTOM and code.name.lower().startswith(name.lower()):
                return (
                    f"compiled for {whose}, which Flatshot does not drive: give the .tflite that "
                    f"it was compiled from{hint}"
                )
    return None


def refuse_strangers(model: tflite.TFLiteModel) -> None:
    """Refuse a model with operators that LiteRT does not have.

    Raises:
        ModelError: it was compiled for an accelerator, or needs TensorFlow's own operators.
    """
    reason = compiled_for(model)
    if reason is not None:
        raise ModelError(reason)
    custom = {code.name for code in model.operator_codes if code.code == tflite.Builtin.CUSTOM}
    flex = sorted(name for name in custom if name.startswith("Flex"))
    if flex:
        raise ModelError(
            f"it needs TensorFlow's own operators ({', '.join(flex)[:200]}), which LiteRT lacks: "
            "convert it without Select TensorFlow ops"
        )
