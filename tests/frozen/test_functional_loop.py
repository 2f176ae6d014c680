"""Preprocessing in a function: the body of a loop over the batch, as newer exporters write it."""

import numpy as np
import pytest

from flatshot.compiler.frozen.cut import cut_frozen
from flatshot.conversion.convert import convert
from flatshot.formats.detector_graph import INPUT
from flatshot.formats.graphdef import Call, DataType, Function, Graph, Node, Shape
from flatshot.formats.inlining import inline
from flatshot.formats.normalization import ATTRIBUTE, read_normalization
from tests import litert
from tests.compiler.graphs import const
from tests.compiler.graphs import node as make
from tests.frozen.exporter import Style, freeze

IMAGE = "FeatureExtractor/image"


def _functional(exported: Graph, scale: float, offset: float) -> Graph:
    """The detector with the steps of its preprocessing in the body of a StatelessWhile."""
    plain = freeze(exported, Style(resize=False, normalisation=None))
    body: tuple[Node, ...] = (
        const("one", 1),
        make("next", "AddV2", "i", "one:output:0"),
        const("shape", [-1, -1, 3]),
        make("item", "TensorListGetItem", "images", "i", "shape:output:0"),
        make("pixels", "Cast", "item:item:0", DstT=DataType.DT_FLOAT),
        const("scale", np.float32(scale)),
        make("mul", "Mul", "scale:output:0", "pixels:y:0"),
        const("offset", np.float32(-offset)),
        make("sub", "Sub", "mul:z:0", "offset:output:0"),
        const("axis", 0),
        make("batch", "ExpandDims", "sub:z:0", "axis:output:0"),
        const("size", [96, 96]),
        make("resized", "ResizeBilinear", "batch:output:0", "size:output:0"),
        make("image", "Squeeze", "resized:resized_images:0", squeeze_dims=[0]),
        make("set", "TensorListSetItem", "done", "i", "image:output:0"),
    )
    library = {
        "cond": Function(("i", "n", "done", "images"), (make("go", "Less", "i", "n"),),
                         ("go:z:0",)),
        "body": Function(("i", "n", "done", "images"), body,
                         ("next:z:0", "n", "set:output_handle:0", "images")),
    }  # fmt: skip
    loop = (
        const("map/zero", 0),
        const("map/count", 1),
        const("map/of_image", [96, 96, 3]),
        make("map/reserved", "TensorListReserve", "map/of_image", "map/count"),
        make("map/listed", "TensorListFromTensor", "image_tensor", "map/of_image"),
        make(
            "map/loop",
            "StatelessWhile",
            *("map/zero", "map/count", "map/reserved", "map/listed"),
            cond=Call("cond"),
            body=Call("body"),
        ),
        make("map/stacked", "TensorListStack", "map/loop:2", "map/of_image"),
        make(IMAGE, "Identity", "map/stacked"),
    )
    kept = [node for node in plain if node.name not in (IMAGE, "ToFloat")]
    image = make(
        "image_tensor", "Placeholder", dtype=DataType.DT_UINT8, shape=Shape((1, -1, -1, 3))
    )
    nodes = [image if node.name == image.name else node for node in kept]
    return Graph((*nodes, *loop), library)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1.0, -120.0)])
def test_the_body_says_how_pixels_are_normalised(
    tiny_graph: Graph, scale: float, offset: float
) -> None:
    """And to which size images are made; it is never said that there is no preprocessing."""
    cut = cut_frozen(inline(_functional(tiny_graph, scale, offset)))
    image = cut.by_name[INPUT]
    assert image.attrs["shape"] == Shape((1, 96, 96, 3))
    record = image.attrs[ATTRIBUTE]
    assert isinstance(record, bytes)
    got = [part[0] for part in read_normalization(record, 3)]
    np.testing.assert_allclose(got, (scale, offset), rtol=1e-6)


def test_the_network_is_the_same(
    tiny_graph: Graph, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """To the last bit; the usual normalisation is found and needs no metadata."""
    functional = inline(_functional(tiny_graph, 2 / 255, -1.0))
    assert ATTRIBUTE not in cut_frozen(functional).by_name[INPUT].attrs
    assert "no preprocessing" not in caplog.text
    image = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    models = [convert(graph, cut=True) for graph in (functional, tiny_graph)]
    one, other = (litert.run(model.to_bytes(), image) for model in models)
    for got, want in zip(one, other, strict=True):
        np.testing.assert_array_equal(got, want)
