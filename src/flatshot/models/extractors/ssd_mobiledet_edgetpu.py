"""SSDLite MobileDet for the Edge TPU."""

from flatshot.models.backbones.mobiledet import EDGE_TPU
from flatshot.models.extractors._mobiledet import mobiledet_extractor

EXTRACTOR = mobiledet_extractor(EDGE_TPU)
