"""EfficientDet on EfficientNet B3."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(3)
