"""`python -m tests.campaign --seed 1 --count 100000 [TARGET...]`: attack every reader.

Inputs are sound files changed by chance, with their structure kept for the most part. Each is used
in a child process with limits on memory, file size and time; whatever is neither used nor refused
by a FlatshotError of one line is a fault. Prints a table, and each kind of fault with the number of
an input that shows it; `--one N TARGET` uses that input once more, here. Ends with 1 after faults.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

HANG_SECONDS = 30.0
_COLUMNS = (
    *("target", "inputs", "used", "refused", "foreign", "deaths", "slow", "heavy"),
    *("slowest s", "MB more", "s"),
)


@dataclass
class Tally:
    """What became of the inputs of one target."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    problems: dict[str, list[int]] = field(default_factory=dict)
    slowest: float = 0.0
    memory: int = 0
    seconds: float = 0.0

    def note(self, problem: str, number: int) -> None:
        """One more input with this problem."""
        self.problems.setdefault(problem, []).append(number)

    def kinds(self, *names: str) -> int:
        """How many inputs had one of these problems."""
        return sum(len(self.problems.get(name, ())) for name in names)

    @property
    def deaths(self) -> int:
        """How often a child died or hung."""
        return sum(len(n) for name, n in self.problems.items() if name.startswith("death"))

    @property
    def foreign(self) -> int:
        """How many exceptions were none of ours."""
        return sum(map(len, self.problems.values())) - self.deaths - self.kinds("slow", "heavy")


def attack(name: str, seed: int, first: int, last: int) -> Tally:
    """All inputs of one target, in as many children as it takes."""
    tally = Tally()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        while first < last:
            for old in ("state", "report", "problems"):
                (folder / old).unlink(missing_ok=True)
            death = _run_child(name, seed, first, last, folder)
            first = _collect(tally, folder, death, first, last)
    tally.seconds = time.monotonic() - start
    return tally


def _run_child(name: str, seed: int, first: int, last: int, folder: Path) -> str | None:
    """Let a child work; how it died, or None."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root)])
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "FLATSHOT_TRUST_MODELS": "1",
        "FLATSHOT_HOME": str(folder),
    }
    command = [sys.executable, "-m", "tests.campaign.worker"]
    command += [name, str(seed), str(first), str(last), str(folder)]
    with (folder / "errors").open("w") as errors:
        child = subprocess.Popen(command, cwd=root, env=env, stdout=errors, stderr=errors)
        seen, since = "", time.monotonic()
        while child.poll() is None:
            time.sleep(0.05)
            now = _read(folder / "report")
            if now != seen:
                seen, since = now, time.monotonic()
            elif seen and time.monotonic() - since > HANG_SECONDS:
                child.kill()
                child.wait()
                return "death: a hang"
    if child.returncode in (0, 3):
        return None
    if not seen:
        raise SystemExit(f"{name}: {_read(folder / 'errors')[-2000:]}")
    return f"death: {child.returncode}"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _collect(tally: Tally, folder: Path, death: str | None, first: int, last: int) -> int:
    """Add what a child found; the first input for the next one."""
    state = json.loads(
        _read(folder / "state") or '{"counts": {}, "slowest": 0, "peak": 0, "number": -1}'
    )
    tally.counts.update(state["counts"])
    tally.slowest = max(tally.slowest, state["slowest"])
    tally.memory = max(tally.memory, state["peak"])
    for line in _read(folder / "problems").splitlines():
        found: dict[str, Any] = json.loads(line)
        tally.note(found["problem"], found["number"])
    number = int(_read(folder / "report").split()[0]) if _read(folder / "report").split() else first
    # Between two states nothing but "used" and "refused" can have happened.
    tally.counts["used or refused"] += max(0, number - max(state["number"], first - 1) - 1)
    if death is not None:
        tally.note(death, number)
        tally.counts[death] += 1
    return number + 1 if death is not None or number < last - 1 else last


def table(tallies: dict[str, Tally]) -> str:
    """The figures, a line a target and one for all."""
    rows = [list(_COLUMNS)]
    for name, tally in tallies.items():
        rows.append(
            [
                name, str(sum(tally.counts.values())), str(tally.counts["used"]),
                str(tally.counts["refused"]), str(tally.foreign), str(tally.deaths),
                str(tally.kinds("slow")), str(tally.kinds("heavy")), f"{tally.slowest:.2f}",
                str(tally.memory >> 20), f"{tally.seconds:.0f}",
            ]
        )  # fmt: skip
    sums = [str(sum(int(row[k]) for row in rows[1:])) for k in range(1, 8)]
    most = [f"{max((t.slowest for t in tallies.values()), default=0):.2f}"]
    most += [str(max((t.memory for t in tallies.values()), default=0) >> 20)]
    rows.append(["all", *sums, *most, f"{sum(t.seconds for t in tallies.values()):.0f}"])
    widths = [max(len(row[k]) for row in rows) for k in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def say(text: str, stream: TextIO = sys.stdout) -> None:
    """A line, at once."""
    stream.write(f"{text}\n")
    stream.flush()


def main() -> int:
    """Run what the command line asks for."""
    from tests.campaign.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000, help="inputs, over all targets")
    parser.add_argument("--one", type=int, help="use this one input here, and show what happens")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    wanted = parser.parse_args()
    names = wanted.targets or list(TARGETS)
    if unknown := sorted(set(names) - set(TARGETS)):
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    if wanted.one is not None:
        return show(names[0], wanted.seed, wanted.one)
    tallies: dict[str, Tally] = {}
    for name in names:
        tallies[name] = attack(name, wanted.seed, 0, -(-wanted.count // len(names)))
        say(f"{name}: {sum(tallies[name].counts.values())} inputs", sys.stderr)
    say(table(tallies))
    for name, tally in tallies.items():
        for problem, numbers in sorted(tally.problems.items()):
            say(f"{name}: {problem}: {len(numbers)} times, as --one {numbers[0]} {name}")
    return int(any(tally.problems for tally in tallies.values()))


def show(name: str, seed: int, number: int) -> int:
    """Use one input in this process; it is left beside for a closer look."""
    from tests.campaign.targets import TARGETS
    from tests.campaign.worker import make_input

    target = TARGETS[name]
    folder = Path(tempfile.mkdtemp())
    target.around(folder)
    path = folder / target.name
    path.write_bytes(make_input(target, target.make(), name, seed, number))
    say(f"{path}: {path.stat().st_size} bytes")
    target.use(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
