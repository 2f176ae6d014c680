"""`conv_hyperparams`: what follows a convolution."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from flatshot.models.config.problems import Problems, enum_name

Activation = Literal["NONE", "RELU", "RELU_6", "SWISH", "HARD_SWISH", "SWISH_6", "IDENTITY"]
"""The first four can stand in a configuration; the others are what networks have of themselves."""

_CONFIGURABLE = ("NONE", "RELU", "RELU_6", "SWISH")


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation at inference; `scale` says whether there is a gamma, `center` a beta."""

    epsilon: float = 0.001
    scale: bool = True
    center: bool = True


@dataclass(frozen=True)
class Hyperparams:
    """What follows a convolution: batch norm, or a bias where there is none, then an activation.

    `use_bias` says whether there is a bias where it does not follow from batch norm: networks of
    TensorFlow 2 can have both, and some layers have neither.
    """

    batch_norm: BatchNorm | None
    activation: Activation
    use_bias: bool | None = None

    @property
    def has_bias(self) -> bool:
        """Whether a bias is added."""
        return self.batch_norm is None if self.use_bias is None else self.use_bias


def read_hyperparams(
    message: Any, where: str, problems: Problems, *, keras: bool = False
) -> Hyperparams:
    """The section `conv_hyperparams` at `where`.

    Args:
        message: the section.
        where: its path, for messages.
        problems: where what cannot be built is noted.
        keras: whether it belongs to a network of TensorFlow 2, which knows two fields more.
    """
    if enum_name(message, "op") != "CONV":
        problems.refuse(f"{where}.op: only CONV makes a convolution")
    activation = enum_name(message, "activation")
    if activation not in _CONFIGURABLE:
        problems.refuse(f"{where}.activation: {activation}; known: {', '.join(_CONFIGURABLE)}")
    kind = message.WhichOneof("normalizer_oneof")
    if kind == "group_norm":
        problems.refuse(f"{where}.group_norm: group normalisation is not built")
    if kind == "sync_batch_norm" and not keras:
        problems.refuse(f"{where}.sync_batch_norm: only networks of TensorFlow 2 take it")
    if message.force_use_bias and not keras:
        problems.refuse(f"{where}.force_use_bias: only networks of TensorFlow 2 take it")
    batch_norm = None
    if kind in ("batch_norm", "sync_batch_norm"):
        norm = getattr(message, kind)
        problems.require(
            0 < norm.epsilon < math.inf, f"{where}.{kind}.epsilon must be above 0 and finite"
        )
        batch_norm = BatchNorm(norm.epsilon, norm.scale, norm.center)
    # Keras leaves the bias out only where the norm's own shift takes its place.
    use_bias = keras and (message.force_use_bias or batch_norm is None or not batch_norm.center)
    return Hyperparams(batch_norm, activation, use_bias if keras else None)
