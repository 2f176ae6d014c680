"""How pixels become the input of a network, as models keep it where it is not 2/255 x - 1.

JSON, one number or one for each channel: `{"scale": [0.0039], "offset": [0.0]}` stands for
input = pixel * scale + offset, of pixels from 0 to 255 in RGB.
"""

import json
import math
from collections.abc import Sequence

from flatshot.errors import FormatError

NAME = "flatshot.normalization"
"""The name of the metadata of a model."""
ATTRIBUTE = "_flatshot_normalization"
"""The name of the attribute of a graph's input; TensorFlow lets such with an underscore through."""


def write_normalization(scale: Sequence[float], offset: Sequence[float]) -> bytes:
    """The bytes of the metadata."""
    return json.dumps({"scale": list(scale), "offset": list(offset)}).encode()


def read_normalization(
    data: bytes | memoryview, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and offset, one number for each of `channels`.

    Raises:
        FormatError: `data` is no such metadata, or is for another number of channels.
    """
    try:
        record = json.loads(bytes(data))
        scale, offset = (
            tuple(float(number) for number in record[name]) for name in ("scale", "offset")
        )
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise FormatError(f"the metadata {NAME!r} is damaged: {error!r:.80}") from error
    if not all(math.isfinite(number) for number in (*scale, *offset)):
        raise FormatError(f"the metadata {NAME!r} has numbers that are not finite")
    for numbers in (scale, offset):
        if len(numbers) not in (1, channels):
            raise FormatError(
                f"the metadata {NAME!r} is for {len(numbers)} channels, the input has {channels}"
            )
    wide = [numbers * channels if len(numbers) == 1 else numbers for numbers in (scale, offset)]
    return wide[0], wide[1]
