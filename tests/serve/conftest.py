"""A real, tiny detector behind the page."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import flatshot
from flatshot.runtime.detector import Detector


@pytest.fixture(scope="session")
def detector(tiny: Path) -> Detector:
    """The tiny SSD MobileNet V1 of the demo's making, with low scores kept."""
    return Detector(flatshot.convert(flatshot.export(tiny)), score_threshold=1e-6)


@pytest.fixture(scope="session")
def photograph() -> bytes:
    """The bytes of a JPEG."""
    rng = np.random.default_rng(3)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()
