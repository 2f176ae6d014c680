"""Imports go one way: a room imports from rooms to its left, and from what is above all rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import flatshot
from flatshot.cli.main import COMMANDS

SOURCE = Path(flatshot.__file__).parent
# From left to right, as data goes through the house.
ROOMS = (
    "formats",
    "models",
    "compiler",
    "conversion",
    "runtime",
    "inspection",
    "evaluation",
    "packages",
    "records",
    "experiments",
    "report",
    "serve",
    "demo",
    "cli",
)
# Two rooms that meet only in the GraphDef: what both call it stands in `formats`.
APART = {"compiler": {"models"}}
EVERYWHERE = ("errors", "home", "version")


def imports(source: str) -> Iterator[str]:
    """The modules of flatshot that `source` imports, wherever in the code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("flatshot"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flatshot"):
            yield node.module or ""


def wrong_imports(room: str, source: str) -> list[str]:
    """The imports in `source`, a file of `room`, that go to a room on its right, or apart."""
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *EVERYWHERE} - APART.get(room, set())
    targets = ((name, [*name.split("."), ""][1]) for name in imports(source))
    return [name for name, target in targets if target not in allowed]


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    """No file imports from a room to the right of its own."""
    room = path.relative_to(SOURCE).parts[0]
    assert wrong_imports(room, path.read_text()) == []


def test_commands_do_not_import_commands() -> None:
    """What two commands need is a file of its own; a command is imported when it is called."""
    files = [path for path in FILES if path.parent.name == "cli"]
    commands = {f"flatshot.cli.{name}" for name in COMMANDS}
    found = {
        (path.name, name)
        for path in files
        for name in imports(path.read_text())
        if name in commands
    }
    assert found == set()


def test_a_wrong_import_is_found() -> None:
    """The check sees an import that goes the wrong way, also one inside a function."""
    source = "def f():\n    from flatshot.compiler.compile import convert\n"
    assert wrong_imports("models", source) == ["flatshot.compiler.compile"]
    assert wrong_imports("compiler", source) == []
    source = "from flatshot.models.export import export\n"
    assert wrong_imports("compiler", source) == ["flatshot.models.export"]
    assert wrong_imports("inspection", source) == []


def test_every_room_is_known() -> None:
    """Each folder of the package stands in the order."""
    assert {path.relative_to(SOURCE).parts[0] for path in FILES} == set(ROOMS)


def test_tensorflow_is_imported_nowhere() -> None:
    """No file imports TensorFlow."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not any(name.split(".")[0] in ("tensorflow", "tf_keras") for name in names), path
