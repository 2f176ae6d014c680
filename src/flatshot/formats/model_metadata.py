"""TensorFlow Lite's model metadata: what a model says about its pixels, its outputs, its labels.

A FlatBuffer of its own (`metadata_schema.fbs`, identifier M001) in a buffer of the model that the
metadata entry TFLITE_METADATA names. The Task library, MediaPipe and ML Kit feed models by it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flatshot.errors import FormatError
from flatshot.formats import flatbuffer
from flatshot.formats.flatbuffer import Kind, slot, string, table, tables, union, vector

NAME = "TFLITE_METADATA"
"""The name of the metadata entry of a model."""
IDENTIFIER = b"M001"
# The mean and deviation that stand for 2/255 x - 1.
_USUAL = 127.5

Numbers = Any  # a NumPy array, or None where the file has none


@dataclass
class AssociatedFile:
    """A file in the ZIP archive behind the model; `type` 2 and 3 are labels."""

    name: str = string(0)
    description: str = string(1)
    type: int = slot(2, Kind.I8)
    locale: str = string(3)
    version: str = string(4)


@dataclass
class FeatureProperties:
    """Values without further meaning, as scores."""


@dataclass
class ImageProperties:
    """An image; `color_space` 1 is RGB, 2 grey."""

    color_space: int = slot(0, Kind.I8)


@dataclass
class BoundingBoxProperties:
    """Boxes: `index` says which columns are left, top, right, bottom.

    `type` 1 is edges, `coordinate_type` 0 parts of the image.
    """

    index: Numbers = vector(0, Kind.U32)
    type: int = slot(1, Kind.I8)
    coordinate_type: int = slot(2, Kind.I8)


@dataclass
class ValueRange:
    """The dimensions that the content's properties are about, the last included."""

    min: int = slot(0, Kind.I32)
    max: int = slot(1, Kind.I32)


@dataclass
class Content:
    """What a tensor's values are."""

    properties_type: int = slot(0, Kind.U8)
    properties: Any = union(
        1,
        "properties_type",
        {1: FeatureProperties, 2: ImageProperties, 3: BoundingBoxProperties},
    )
    range: ValueRange | None = table(2, lambda: ValueRange)


@dataclass
class NormalizationOptions:
    """input = (pixel - mean) / std, one number or one for each channel."""

    mean: Numbers = vector(0, Kind.F32)
    std: Numbers = vector(1, Kind.F32)


@dataclass
class ProcessUnit:
    """A step before or after the network; of the kinds only normalisation is read."""

    options_type: int = slot(0, Kind.U8)
    options: Any = union(1, "options_type", {1: NormalizationOptions})


@dataclass
class Stats:
    """The largest and the least values of a tensor."""

    max: Numbers = vector(0, Kind.F32)
    min: Numbers = vector(1, Kind.F32)


@dataclass
class TensorMetadata:
    """What is known about an input or output."""

    name: str = string(0)
    description: str = string(1)
    content: Content | None = table(3, lambda: Content)
    process_units: list[ProcessUnit] = tables(4, lambda: ProcessUnit)
    stats: Stats | None = table(5, lambda: Stats)
    associated_files: list[AssociatedFile] = tables(6, lambda: AssociatedFile)


@dataclass
class SubGraphMetadata:
    """What is known about a sub-graph, in the order of its inputs and outputs."""

    name: str = string(0)
    description: str = string(1)
    inputs: list[TensorMetadata] = tables(2, lambda: TensorMetadata)
    outputs: list[TensorMetadata] = tables(3, lambda: TensorMetadata)
    associated_files: list[AssociatedFile] = tables(4, lambda: AssociatedFile)


@dataclass
class ModelMetadata:
    """The root of the metadata."""

    name: str = string(0)
    description: str = string(1)
    version: str = string(2)
    subgraphs: list[SubGraphMetadata] = tables(3, lambda: SubGraphMetadata)
    author: str = string(4)
    license: str = string(5)
    associated_files: list[AssociatedFile] = tables(6, lambda: AssociatedFile)
    min_parser_version: str = string(7)


@dataclass(frozen=True)
class InputNormalization:
    """Mean and standard deviation of each channel: the input is (pixel - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def is_usual(self) -> bool:
        """Whether it is 2/255 x - 1, which detectors are fed with anyway."""
        return set(self.mean + self.std) == {_USUAL}

    @property
    def scale_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The same as pixel * scale + offset."""
        pairs = list(zip(self.mean, self.std, strict=True))
        return tuple(1 / std for _, std in pairs), tuple(-mean / std for mean, std in pairs)


def read_model_metadata(data: flatbuffer.Bytes) -> ModelMetadata:
    """The metadata in the bytes of the buffer that TFLITE_METADATA names.

    Raises:
        FormatError: they are no such metadata, or damaged.
    """
    return flatbuffer.read(ModelMetadata, data, IDENTIFIER, "TensorFlow Lite metadata")


def input_normalization(metadata: ModelMetadata, channels: int) -> InputNormalization | None:
    """How the first input of the first sub-graph is fed; None where the metadata does not say.

    Args:
        metadata: of the model.
        channels: of that input.

    Raises:
        FormatError: the numbers are for another number of channels, are none, or divide by 0.
    """
    inputs = metadata.subgraphs[0].inputs if metadata.subgraphs else []
    units = [unit.options for tensor in inputs[:1] for unit in tensor.process_units]
    found = next((one for one in units if isinstance(one, NormalizationOptions)), None)
    if found is None:
        return None
    numbers: Mapping[str, Numbers] = {"mean": found.mean, "std": found.std}
    wide: list[tuple[float, ...]] = []
    for name, values in numbers.items():
        listed = [] if values is None else [float(value) for value in values]
        if len(listed) not in (1, channels):
            raise FormatError(
                f"the model's metadata has {len(listed)} numbers for {name}, and its input "
                f"{channels} channels"
            )
        if not all(map(math.isfinite, listed)) or (name == "std" and 0 in listed):
            raise FormatError(f"the model's metadata has {listed} for {name}")
        wide.append(tuple(listed * channels if len(listed) == 1 else listed))
    return InputNormalization(*wide)
