"""How networks scale their numbers of channels."""

from collections.abc import Callable

from flatshot.models.config.extractor import FeatureExtractorConfig


def scaled_depth(config: FeatureExtractorConfig) -> Callable[[float], int]:
    """How most extractors scale a number of channels: times the multiplier, at least min_depth."""
    return lambda depth: max(int(depth * config.depth_multiplier), config.min_depth)


def divisible_depth(config: FeatureExtractorConfig) -> Callable[[float], int]:
    """How MobileNet V2 and its offspring do: to a multiple of 8, at least min_depth."""
    return lambda depth: make_divisible(depth * config.depth_multiplier, 8, config.min_depth)


def make_divisible(value: float, divisor: int, minimum: int | None = None) -> int:
    """`value` to the nearest multiple of `divisor`, at least `minimum`, never 10 % lower.

    Source: `_make_divisible` of `slim/nets/mobilenet/mobilenet.py`.
    """
    lowest = divisor if minimum is None else minimum
    rounded = max(lowest, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
