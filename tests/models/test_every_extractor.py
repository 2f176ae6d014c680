"""Every extractor with settings that the official tools left no oracle of."""

import itertools

import pytest

from flatshot.compiler.frozen.folding import fold_shapes
from flatshot.compiler.importer import Boundary, import_graph
from flatshot.errors import FlatshotError
from flatshot.formats.pipeline import read_pipeline
from flatshot.models.builder import GraphBuilder
from flatshot.models.config.extractor import read_extractor
from flatshot.models.config.problems import Problems
from flatshot.models.extractors import known_extractors, load_extractor

TEMPLATE = """
model {{ ssd {{ feature_extractor {{
  type: "{type}" override_base_feature_extractor_hyperparams: true {fields}
  conv_hyperparams {{ activation: {activation} {norm} }}
}} }} }}
"""
BIFPN = "bifpn { min_level: 3 max_level: 7 num_iterations: 2 num_filters: 16 }"
NORM = "batch_norm { scale: false center: true epsilon: 0.02 }"
# Fields, activation, batch norm, height, width, channels of the image.
SETTINGS = {
    "small": ("min_depth: 8", "RELU_6", NORM, 192, 192, 3),
    "grey, not square": ("use_depthwise: true", "RELU", NORM, 192, 256, 1),
    "padded": ("pad_to_multiple: 64", "NONE", NORM, 180, 250, 3),
    "explicit": ("use_explicit_padding: true", "RELU_6", NORM, 192, 192, 3),
    "biases": ("min_depth: 4", "RELU", "", 192, 192, 3),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", known_extractors())
def test_maps_have_the_shapes_that_the_compiler_finds(name: str, setting: str) -> None:
    """Builder and compiler work shapes out each by itself; each map is half of the one before."""
    fields, activation, norm, height, width, channels = SETTINGS[setting]
    extractor = load_extractor(name)
    if "bifpn" in extractor.takes:  # built whole only, in sizes that its seven levels halve
        height, width = (height, width) if setting == "padded" else (256, 384)
        fields = fields.replace("use_depthwise: true", "").replace("64", "128") + f" {BIFPN}"
    elif not name.endswith("_ppn"):  # ResNet's is built whole only
        fields += " depth_multiplier: 0.25"
    if name.startswith("embedded"):
        height = width = 256
        fields = fields.replace("pad_to_multiple: 64", "")
    text = TEMPLATE.format(type=name, fields=fields, activation=activation, norm=norm)
    section = read_pipeline(text).model.ssd.feature_extractor
    problems = Problems()
    config = read_extractor(section, problems, keras=extractor.keras)
    extractor.check(config, (height, width), problems)
    try:
        problems.report()
    except FlatshotError:
        assert setting == "explicit", "only explicit padding is refused by some"
        return
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1, height, width, channels))
    maps = extractor.extract(builder, image, config)
    names = tuple(net.name for net in maps)
    boundary = Boundary(outputs=names)
    ir = import_graph(fold_shapes(builder.finish(names), boundary), boundary)
    assert [value.shape for value in ir.outputs] == [net.shape for net in maps]
    if "inception" in name or ("v3" in name and setting == "explicit"):
        return  # unpadded convolutions, and maps that grow
    for larger, smaller in itertools.pairwise(maps):
        assert smaller.shape[1:3] == tuple(-(-side // 2) for side in larger.shape[1:3])
