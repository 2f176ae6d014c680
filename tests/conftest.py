"""What all tests share: real data where there is some, and a seeded source of numbers."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from flatshot.compiler.compile import Model
from flatshot.conversion.convert import convert
from flatshot.demo.tiny import write_tiny_checkpoint
from flatshot.formats.graphdef import Graph
from flatshot.models.export import export

# Machines here are shared and noisy: a slow example is no failure.
settings.register_profile(
    "flatshot", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.load_profile("flatshot")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TEST_DATA = os.environ.get("FLATSHOT_TEST_DATA")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real weights and images; without one the test is skipped."""
    if not TEST_DATA:
        pytest.skip("needs real data: set FLATSHOT_TEST_DATA to its folder")
    return Path(TEST_DATA)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20190425)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint and pipeline.config of a tiny SSD MobileNet V1, 96 x 96."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_graph(tiny: Path) -> Graph:
    """The tiny detector's graph, with the operator."""
    return export(tiny, max_detections=100, use_regular_nms=True)


@pytest.fixture(scope="session")
def tiny_model(tiny_graph: Graph) -> Model:
    """The tiny detector's model, with the operator."""
    return convert(tiny_graph)


@pytest.fixture(autouse=True)
def _home_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test reads or writes the user's own records and packages, nor tries each of its models.

    A model's trial in a child process takes some tenths of a second; its own tests ask for it.
    """
    monkeypatch.setenv("FLATSHOT_TRUST_MODELS", "1")
    if "FLATSHOT_HOME" not in os.environ:
        monkeypatch.setenv("FLATSHOT_HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the group 'browser'")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()
