"""Damaged graphs: a model, or an error that Flatshot raises on purpose; nothing else, and soon."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from flatshot.conversion.convert import convert
from flatshot.errors import FlatshotError
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.graphdef import DataType, Graph, read_binary
from tests.compiler.graphs import batch_norm, const, conv, graph, placeholder, randn
from tests.compiler.graphs import node as make


def _small() -> Graph:
    """Under a kilobyte, with every sort of operator."""
    rng = np.random.default_rng(0)
    return graph(
        placeholder("x", 1, 5, 6, 3),
        const("w", randn(rng, 2, 2, 3, 2)),
        conv("c", "x", "w"),
        batch_norm("n", "c", 2, rng),
        make("r", "Relu6", "n"),
        const("s", [1, -1, 2]),
        make("q", "Reshape", "r", "s"),
        const("a", 1),
        make("cc", "ConcatV2", "q", "q", "a"),
        make("sq", "Squeeze", "x", squeeze_dims=[0]),
        make("sm", "Softmax", "cc"),
        make("y", "Identity", "sm"),
        make(
            POSTPROCESS, POSTPROCESS, "y", "cc", "sq",
            max_detections=3, _output_types=[DataType.DT_FLOAT] * 4,
        ),
    )  # fmt: skip


def _prefixes(data: bytes) -> Iterator[bytes]:
    return (data[:length] for length in range(len(data)))


def _flipped(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        for bits in (0x01, 0xFF):
            yield data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [_prefixes, _flipped])
def test_damaged_graphs(damage: Callable[[bytes], Iterator[bytes]]) -> None:
    """Every prefix, and every byte changed in two ways."""
    data = _small().to_bytes()
    assert convert(read_binary(data)).to_bytes()
    outcomes = set()
    for damaged in damage(data):
        start = time.perf_counter()
        try:
            convert(read_binary(damaged)).to_bytes()
            outcomes.add("converted")
        except FlatshotError as error:
            outcomes.add("refused" if "\n" not in str(error) else str(error))
        assert time.perf_counter() - start < 5  # a tenth of a second in truth; machines are shared
    assert outcomes <= {"converted", "refused"}
    assert "refused" in outcomes


def test_small_files_with_large_claims() -> None:
    """Shapes that overflow, and constants that say one number for 8 GiB."""
    for dims in ((2**62, 4), (2**31, 2**31, 2**31), (2**40,)):
        source = graph(placeholder("x", *dims), make("y", "Relu", "x"))
        with pytest.raises(FlatshotError, match="larger than 2 GiB"):
            convert(source, output_arrays=["y"])
    wide = np.broadcast_to(np.float32(1), (2**14, 2**14))
    source = graph(
        const("a", wide), const("b", wide), placeholder("x", 1), make("s", "AddV2", "a", "b"),
        make("y", "Maximum", "s", "x"),
    )  # fmt: skip
    with pytest.raises(FlatshotError, match="2 GiB"):
        convert(source, output_arrays=["y"])
