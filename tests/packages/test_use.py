"""What an installed package is good for: its variables, and its name in place of a path."""

import sys
from pathlib import Path

import pytest

from flatshot.errors import PackageError
from flatshot.packages.environment import variables
from flatshot.packages.install import Packages
from flatshot.packages.resolve import resolve
from tests.packages.conftest import catalogue_json, entry_json, make_package, part_json

EXPORTS = {"WEIGHTS_FILE": "./model.ckpt", "FROZEN_FILENAME": "x.pb", "PLACE": "."}


@pytest.fixture
def packages(home: Path) -> Packages:
    """A home with a catalogue of a model in two versions."""

    def make(folder: Path) -> None:
        (folder / "detect.tflite").write_bytes(b"tflite")

    entries = [
        entry_json(part_json("builtin:made", to="."), version=version, path="detect.tflite")
        for version in ("1.9", "1.10")
    ]
    (home / "catalogue").mkdir(parents=True)
    (home / "catalogue" / "mine.json").write_bytes(catalogue_json(*entries))
    return Packages(builtins={"made": make})


def test_a_model_s_variables(packages: Packages, home: Path) -> None:
    """Collective Knowledge's names; places are absolute, and the folder has a variable."""
    package = make_package(part_json("builtin:made", to="."), exports=EXPORTS)
    folder = packages.install(package).folder
    assert folder.is_absolute()
    assert variables(packages.install(package)) == {
        "CK_ENV_TENSORFLOW_MODEL_ROOT": str(folder),
        "CK_ENV_TENSORFLOW_MODEL_DIR": str(folder),
        "CK_ENV_TENSORFLOW_MODEL_NAME": "thing",
        "CK_ENV_TENSORFLOW_MODEL_WEIGHTS_FILE": str(folder / "model.ckpt"),
        "CK_ENV_TENSORFLOW_MODEL_FROZEN_FILENAME": "x.pb",
        "CK_ENV_TENSORFLOW_MODEL_PLACE": str(folder),
        "CK_ENV_COMPILER_PYTHON_FILE": sys.executable,
    }


def test_a_data_set_s_variables(packages: Packages) -> None:
    """They have a prefix of their own, so that both kinds live side by side."""
    package = make_package(part_json("builtin:made", to="."), kind="dataset", exports={"COCO": "."})
    found = packages.install(package)
    assert variables(found)["CK_ENV_DATASET_COCO"] == str(found.folder)
    assert not any("MODEL" in name for name in variables(found))


def test_labels_leave_the_model_s_folder_alone(home: Path) -> None:
    """They add to the model's variables."""
    packages = Packages()
    found = variables(packages.install(packages.catalogue.names["coco-labels"][0]))
    assert "CK_ENV_TENSORFLOW_MODEL_LABELMAP_FILE" in found
    assert "CK_ENV_TENSORFLOW_MODEL_ROOT" not in found


def test_a_relative_home_gives_absolute_places(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable is of use in any folder."""
    monkeypatch.chdir(tmp_path)
    package = make_package(part_json("builtin:made", to="."), exports=EXPORTS)
    found = Packages("here", builtins={"made": lambda folder: None}).install(package)
    assert variables(found)["CK_ENV_TENSORFLOW_MODEL_DIR"] == str(tmp_path / found.folder)


def test_names_stand_for_paths(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest version that is installed; a path that exists wins; the rest is left alone."""
    monkeypatch.chdir(tmp_path)
    new, old = packages.catalogue.names["thing"]
    with pytest.raises(PackageError, match="`flatshot install thing` does it"):
        resolve("thing", packages)
    packages.install(old)
    assert resolve("thing", packages) == packages.install(old).folder / "detect.tflite"
    packages.install(new)
    assert resolve("thing", packages).parent.name == "1.10"
    assert resolve("thing/more", packages).name == "more"
    for text in ("nothing", "nothing/at/all.pb", "", "/", "\0", "x" * 5000, "./thing"):
        assert resolve(text, packages) == Path(text)
    (tmp_path / "thing").mkdir()
    assert resolve("thing", packages) == Path("thing")


def test_the_environment_s_home_is_the_default(home: Path) -> None:
    """Without packages of one's own those of the home count."""
    assert resolve("nothing") == Path("nothing")
    with pytest.raises(PackageError, match="coco-2017-val is not installed"):
        resolve("coco-2017-val")
