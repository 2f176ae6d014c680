"""Calibration: a model of real numbers run over images, and what its tensors were.

One pass; each tensor keeps a histogram of fixed size, so that memory does not grow with the images.
"""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from flatshot.compiler.quantization.ranges import Seen
from flatshot.errors import ConfigError, FormatError

Numbers = npt.NDArray[np.float32]
BINS = 8192
# Of the numbers of a tensor, what may lie beyond either end of its body: 99.99 % lie between.
TAIL = 0.00005


class Histogram:
    """The numbers of a tensor: how many in each of `BINS` equal bins around 0, ends, sums.

    The bins reach from -reach to reach, a power of two that doubles when numbers pass it.
    """

    def __init__(self, channels: int) -> None:
        self.low, self.high = np.inf, -np.inf
        self._reach = 0.0
        self._counts = np.zeros(BINS, np.int64)
        self._sums = np.zeros(channels, np.float64)
        self._pixels = 0

    def add(self, numbers: Numbers) -> None:
        """Count the numbers of one image."""
        low, high = float(numbers.min()), float(numbers.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        flat = numbers.reshape(-1, self._sums.size)
        self._sums += flat.sum(axis=0, dtype=np.float64)
        self._pixels += flat.shape[0]
        if not np.isfinite(low + high):
            return  # the ends tell it
        self._widen(max(abs(low), abs(high)))
        if self._reach:
            places = ((numbers.ravel() + np.float32(self._reach)) * self._per_unit).astype(np.int32)
            self._counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
        else:
            self._counts[BINS // 2] += numbers.size

    @property
    def _per_unit(self) -> np.float32:
        return np.float32(BINS / 2 / self._reach)

    def _widen(self, magnitude: float) -> None:
        if magnitude <= self._reach:
            return
        wanted = 2.0 ** np.ceil(np.log2(max(magnitude, 2.0**-60)))
        while self._reach and self._reach < wanted:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.zeros(BINS, np.int64)
            self._counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
            self._reach *= 2
        self._reach = wanted

    def seen(self) -> Seen:
        """What was seen so far."""
        low, high = self.low, self.high
        body = (low, high)
        total = int(self._counts.sum())
        if total and self._reach and np.isfinite(low + high):
            share = np.cumsum(self._counts) / total
            first = int(np.searchsorted(share, TAIL, side="right"))
            last = int(np.searchsorted(share, 1 - TAIL))
            edges = np.linspace(-self._reach, self._reach, BINS + 1)
            body = (max(low, float(edges[first])), min(high, float(edges[last + 1])))
        means = tuple((self._sums / max(self._pixels, 1)).tolist())
        return Seen(low, high, body[0], body[1], means)


def calibrate(
    model: bytes | memoryview, images: Iterable[Numbers], tensors: Sequence[str], threads: int = 1
) -> dict[str, Seen]:
    """What tensors of a model were on images.

    Args:
        model: the bytes of a .tflite of real numbers with one input.
        images: its inputs, as the network takes them.
        tensors: the names of those to watch; the input is watched, too.
        threads: of the interpreter.

    Raises:
        ConfigError: there are no images.
    """
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        # It warns of the memory that keeping all tensors takes: that is what is wanted here.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(
            model_content=bytes(model), num_threads=threads, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    wanted = {*tensors, image["name"]}
    places = {
        detail["name"]: detail["index"]
        for detail in interpreter.get_tensor_details()
        if detail["name"] in wanted
    }
    found: dict[str, Histogram] = {}
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels)
        interpreter.invoke()
        for name, index in places.items():
            numbers = interpreter.get_tensor(index)
            if numbers.size and numbers.dtype == np.float32:
                channels = numbers.shape[-1] if numbers.ndim else 1
                found.setdefault(name, Histogram(channels)).add(numbers)
    if not found:
        raise ConfigError("there are no images to calibrate with")
    return {name: histogram.seen() for name, histogram in found.items()}


def write_ranges(seen: Mapping[str, Seen]) -> str:
    """Ranges as JSON, by tensor."""
    return json.dumps({name: asdict(found) for name, found in sorted(seen.items())}, indent=1)


def read_ranges(text: str | bytes) -> dict[str, Seen]:
    """Ranges from JSON.

    Raises:
        FormatError: it is no such JSON.
    """
    try:
        return {
            name: Seen(
                low=float(entry["low"]),
                high=float(entry["high"]),
                body_low=float(entry["body_low"]),
                body_high=float(entry["body_high"]),
                means=tuple(float(mean) for mean in entry.get("means", ())),
            )
            for name, entry in json.loads(text).items()
        }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise FormatError(f"these are no ranges of calibration: {error!r:.80}") from error
