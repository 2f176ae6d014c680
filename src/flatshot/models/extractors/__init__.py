"""Feature extractors: one file each, named as `feature_extractor.type` names it in the config.

A file has one public function,

    extract(builder, image, config) -> list of feature maps, finest first

so that a new extractor is a new file and nothing else.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module

from flatshot.errors import UnsupportedError
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.detection_config import FeatureExtractorConfig

Extract = Callable[[GraphBuilder, Tensor, FeatureExtractorConfig], list[Tensor]]


def known_extractors() -> list[str]:
    """The types for which there is a file."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_extractor(type_name: str) -> Extract:
    """The `extract` function of the extractor `type_name`.

    Raises:
        UnsupportedError: there is none; the message lists those that there are.
    """
    known = known_extractors()
    if type_name not in known:
        raise UnsupportedError(
            f"feature_extractor.type: {type_name!r} is not built yet; known: {', '.join(known)}"
        )
    extract: Extract = import_module(f"{__name__}.{type_name}").extract
    return extract
