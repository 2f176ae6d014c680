"""EfficientDet on EfficientNet B0."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(0)
