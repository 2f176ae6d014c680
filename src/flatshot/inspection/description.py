"""What an inspection finds, whatever the file is."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flatshot.formats.custom_options import Option


@dataclass(frozen=True)
class TensorInfo:
    """A tensor; its shape is empty where only running it tells, `bytes` is 0 unless constant."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int = 0
    quantization: str = ""


@dataclass(frozen=True)
class OperatorInfo:
    """An operator with the shapes that it reads and makes, and its arithmetic operations."""

    name: str
    output: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    arithmetic_ops: int = 0


@dataclass(frozen=True)
class Inspection:
    """What a file holds. Lists are empty and figures None where they make no sense.

    Attributes:
        kind: what the file is.
        inputs: what it is fed with.
        outputs: what it gives.
        operators: one by one, in the order in which they run.
        tensors: constants and intermediate results, or the variables of a checkpoint.
        postprocess: options of the post-processing operator.
        parameters: the number of trained values.
        bytes: what the constants take.
        arithmetic_ops: of one inference, a multiply-add as two.
        peak_memory: bytes for what is computed, at its peak.
        facts: whatever else is worth a line, by title.
    """

    path: str
    kind: str
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    operators: tuple[OperatorInfo, ...] = ()
    tensors: tuple[TensorInfo, ...] = ()
    postprocess: Mapping[str, Option] = field(default_factory=dict)
    parameters: int | None = None
    bytes: int | None = None
    arithmetic_ops: int | None = None
    peak_memory: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def operator_counts(self) -> dict[str, int]:
        """How often each operator occurs, the most frequent first."""
        return dict(Counter(operator.name for operator in self.operators).most_common())


def as_json(inspection: Inspection) -> dict[str, Any]:
    """The inspection in values that JSON knows, with the operators counted as well."""
    return {**asdict(inspection), "operator_counts": inspection.operator_counts}
