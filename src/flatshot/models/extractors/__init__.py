"""Feature extractors: one file each, named as `feature_extractor.type` names it in the config.

A file says what it is in one value, `EXTRACTOR`; its function `extract` makes the feature maps of
an image, finest first. It takes a network from `backbones` and a neck from `necks`, or has both of
its own. A new extractor is a new file and nothing else.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import WHERE, FeatureExtractorConfig
from flatshot.models.config.problems import Problems

Extract = Callable[[GraphBuilder, Tensor, FeatureExtractorConfig], list[Tensor]]
Check = Callable[[FeatureExtractorConfig, tuple[int, int], Problems], None]

# Fields that not every extractor of the Object Detection API takes; it fails where one does not.
_OPTIONAL = ("num_layers", "fpn", "bifpn", "use_explicit_padding", "spaghettinet_arch_name")
# Types that configurations name and whose source was never published.
_UNPUBLISHED = ("ssd_mobilenet_v3_small_prediction",)


@dataclass(frozen=True)
class Pixels:
    """How pixels (0 to 255, RGB) become input: pixel x scale + offset, by channel."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def of(self, channels: int) -> "Pixels":
        """What becomes of so many channels: grey is taken as it is, where colours have numbers."""
        return self if len(self.scale) in (1, channels) else UNCHANGED


# From 0..255 to -1..1, what nearly all networks take.
SYMMETRIC = Pixels((2 / 255,), (-1.0,))
# The means of ImageNet's red, green and blue are taken away.
MEANS_REMOVED = Pixels((1.0, 1.0, 1.0), (-123.68, -116.779, -103.939))
# Those means are taken away and the standard deviations divide, both as fractions of 255.
STANDARDIZED = Pixels(
    tuple(1 / (255 * deviation) for deviation in (0.229, 0.224, 0.225)),
    (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)
# What those two kinds do with images that are not of three channels.
UNCHANGED = Pixels((1.0,), (0.0,))


def _no_check(
    config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems
) -> None:
    """Nothing more to check."""


@dataclass(frozen=True)
class Extractor:
    """What an extractor is.

    Attributes:
        extract: makes the feature maps.
        takes: which of `num_layers`, `fpn`, `bifpn`, `use_explicit_padding` it can be given.
        min_side: the smallest input in pixels, as the Object Detection API checks it.
        pixels: its preprocessing, which is not part of the graph.
        keras: whether it is a network of TensorFlow 2.
        further_check: notes what else it cannot do with a configuration and a (height, width).
    """

    extract: Extract
    takes: frozenset[str] = frozenset()
    min_side: int = 33
    pixels: Pixels = SYMMETRIC
    keras: bool = False
    further_check: Check = _no_check

    def check(
        self, config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems
    ) -> None:
        """Note what of `config` this extractor cannot do."""
        for field in _OPTIONAL:
            harmless = field == "use_explicit_padding" and not config.use_explicit_padding
            if field in config.given and field not in self.takes and not harmless:
                problems.refuse(
                    f"{WHERE}.{field}: {config.type} does not take it; the Object Detection API "
                    "cannot build this configuration either"
                )
        self.further_check(config, image_size, problems)


def known_extractors() -> list[str]:
    """The types for which there is a file."""
    return sorted(_modules())


def _modules() -> dict[str, str]:
    """The names of the files by type: one type has a hyphen, which no module's name can have."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return {
        name.replace("efficientnet_", "efficientnet-"): name
        for name in names
        if not name.startswith("_")
    }


def load_extractor(type_name: str) -> Extractor:
    """The extractor `type_name`, one of `known_extractors()`."""
    extractor: Extractor = module_of(type_name).EXTRACTOR
    return extractor


def module_of(type_name: str) -> ModuleType:
    """The file of the extractor `type_name`, one of `known_extractors()`."""
    return import_module(f"{__name__}.{_modules()[type_name]}")


def look_up(type_name: str, problems: Problems) -> Extractor | None:
    """The extractor `type_name`; None, and a problem noted, where there is none."""
    known = known_extractors()
    if type_name in known:
        return load_extractor(type_name)
    if type_name in _UNPUBLISHED:
        problems.refuse(
            f"feature_extractor.type: {type_name!r} cannot be built: its source was never published"
        )
    else:
        problems.refuse(
            f"feature_extractor.type: {type_name!r} is not built yet; known: {', '.join(known)}"
        )
    return None
