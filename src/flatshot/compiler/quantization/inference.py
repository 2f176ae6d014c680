"""What numbers a model computes with: TOCO's `--inference_type`, and the passes behind it."""

import enum
import logging
from dataclasses import dataclass, field

from flatshot.compiler.ir import Graph
from flatshot.compiler.passes import CLEANING, FUSING, PASSES, WRITING, run_passes
from flatshot.compiler.quantization.ranges import clip_logits, join_ranges, unfuse_hard_swish
from flatshot.compiler.quantization.signed import SignedSettings, quantize_signed
from flatshot.compiler.quantization.trained import (
    fold_trained_weights,
    has_trained_ranges,
    read_trained_ranges,
)
from flatshot.compiler.quantization.unsigned import UnsignedSettings, quantize_unsigned
from flatshot.errors import ConfigError

_log = logging.getLogger("flatshot")


class InferenceType(enum.Enum):
    """The numbers that a model computes with."""

    FLOAT = "FLOAT"
    QUANTIZED_UINT8 = "QUANTIZED_UINT8"
    INT8 = "INT8"

    @classmethod
    def parse(cls, text: str) -> "InferenceType":
        """The type that `text` names.

        Raises:
            ConfigError: it names none.
        """
        name = {"FLOAT32": "FLOAT", "UINT8": "QUANTIZED_UINT8"}.get(text.upper(), text.upper())
        if name not in cls.__members__:
            raise ConfigError(f"--inference_type {text}: one of {', '.join(cls.__members__)}")
        return cls[name]


@dataclass(frozen=True)
class Inference:
    """How a graph is compiled.

    Attributes:
        type: the numbers that the model computes with; None for integers where the graph was
            trained for them, else real numbers.
        unsigned: the settings of unsigned integers.
        signed: the settings of signed ones.
    """

    type: InferenceType | None = None
    unsigned: UnsignedSettings = field(default_factory=UnsignedSettings)
    signed: SignedSettings = field(default_factory=SignedSettings)


def run_inference_passes(graph: Graph, inference: Inference) -> None:
    """Run the passes that make a model of `graph` as `inference` says.

    Raises:
        ConfigError, GraphError, UnsupportedError: it cannot be; the message says why.
    """
    run_passes(graph, CLEANING)
    kind = inference.type
    if kind is None:
        kind = InferenceType.FLOAT
        if has_trained_ranges(graph):
            kind = InferenceType.QUANTIZED_UINT8
            _log.info(
                "The graph was trained with quantisation: a model of 8 bits is written, as with "
                "--inference_type=QUANTIZED_UINT8"
            )
    if kind is InferenceType.FLOAT:
        run_passes(graph, PASSES[len(CLEANING) :])
        return
    run_passes(graph, (fold_trained_weights, read_trained_ranges, *FUSING))
    if kind is InferenceType.INT8:
        join_ranges(graph)
        clip_logits(graph)
        unfuse_hard_swish(graph)
        quantize_signed(graph, inference.signed)
    else:
        quantize_unsigned(graph, inference.unsigned)
    run_passes(graph, WRITING)
