"""A slice of the campaign, and the campaign's own eyes."""

import random
from pathlib import Path

import pytest

from flatshot.errors import FlatshotError
from tests.campaign import __main__ as campaign
from tests.campaign import mutation
from tests.campaign.targets import TARGETS
from tests.campaign.worker import make_input, use_one

# These run LiteRT, which only a process of its own may die of.
APART = ("detector", "compare")


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in APART])
def test_hostile_inputs_are_used_or_refused(name: str, tmp_path: Path) -> None:
    """By an error of ours in one line; the sound files themselves are used."""
    target = TARGETS[name]
    sound = target.make()
    target.around(tmp_path)
    path = tmp_path / target.name
    faults = {}
    for number in range(40):
        path.unlink(missing_ok=True)
        path.write_bytes(make_input(target, sound, name, 7, number))
        outcome = use_one(target.use, path)
        if outcome not in ("used", "refused"):
            faults[number] = outcome
    assert faults == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", APART)
def test_hostile_models_are_used_or_refused(name: str) -> None:
    """In a child process that does not die."""
    tally = campaign.attack(name, 7, 0, 300)
    assert tally.problems == {}
    assert sum(tally.counts.values()) == 300


def test_each_target_begins_with_sound_files(tmp_path: Path) -> None:
    """Most of them are used; a campaign on what is refused at once would show nothing."""
    for name, target in TARGETS.items():
        folder = tmp_path / name
        folder.mkdir()
        target.around(folder)
        used = 0
        for data in target.make():
            (folder / target.name).write_bytes(data)
            used += use_one(target.use, folder / target.name) == "used"
        assert used, name


def test_a_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is none of ours is told with its place, an error of ours is not."""

    def fail(error: Exception) -> None:
        raise error

    assert use_one(lambda path: fail(FlatshotError("a")), Path()) == "refused"
    assert use_one(lambda path: fail(KeyError("a")), Path()).startswith("KeyError at test_campaign")


def test_inputs_are_the_same_in_every_run() -> None:
    """Their numbers and the seed are all that decides."""
    target = TARGETS["graph.pbtxt"]
    sound = target.make()
    made = [[make_input(target, sound, "x", 3, n) for n in range(9)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) > 5
    assert make_input(target, sound, "x", 4, 0) != made[0][0]


def test_structure_is_kept() -> None:
    """A changed message is a message, a changed tar has right checksums, JSON stays JSON."""
    rng = random.Random(1)
    graph = TARGETS["graph.pb"].make()[0]
    assert sum(bool(mutation._fields(mutation.wire(graph, rng))) for _ in range(50)) > 40
    archive = TARGETS["archives"].make()[0]
    changed = mutation.tar_header(archive, rng)
    assert changed != archive
