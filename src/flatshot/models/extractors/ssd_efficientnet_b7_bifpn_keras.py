"""EfficientDet on EfficientNet B7."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(7)
