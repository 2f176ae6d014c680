"""SSDLite MobileDet for DSPs."""

from flatshot.models.backbones.mobiledet import DSP
from flatshot.models.extractors._mobiledet import mobiledet_extractor

EXTRACTOR = mobiledet_extractor(DSP)
