"""The child of a campaign: makes inputs and uses them one after the other, within limits.

It is told a target, a seed and a range of numbers; each number makes the same input in every run.
Before each input it writes the number to its report, so that its parent knows what killed it.
"""

import collections
import contextlib
import json
import logging
import os
import random
import resource
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flatshot.errors import FlatshotError

MEMORY = 4 << 30
SLOW_SECONDS = 1.0
HEAVY_BYTES = 300 << 20


def make_input(target: Any, sound: list[bytes], name: str, seed: int, number: int) -> bytes:
    """Input `number` of a campaign."""
    rng = random.Random(zlib.crc32(f"{name}/{seed}/{number}".encode()))
    data: bytes = rng.choice(target.mutations)(rng.choice(sound), rng)
    return data


def place_of(error: BaseException) -> str:
    """Where an exception comes from: the last of our own lines, and the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "flatshot" in Path(frame.filename).parts]
    ends = [(ours or frames)[-1], frames[-1]]
    where = dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in ends)
    return f"{type(error).__name__} at {' / '.join(where)}"


def peak() -> int:
    """The most memory that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def use_one(use: Callable[[Path], object], path: Path) -> str:
    """How an input fared: "used", "refused", or the place of a foreign exception."""
    try:
        use(path)
    except FlatshotError as error:
        return "refused" if len(str(error).splitlines()) <= 1 else "refused in several lines"
    except Exception as error:
        return place_of(error)
    return "used"


def run(name: str, seed: int, first: int, last: int, folder: Path) -> None:
    """Use the inputs from `first` up to `last`; the report is `folder`/report."""
    from tests.campaign.targets import TARGETS

    target = TARGETS[name]
    sound = target.make()
    work = folder / "work"
    work.mkdir(exist_ok=True)
    target.around(work)
    path = work / target.name
    for data in sound:
        path.write_bytes(data)
        with contextlib.suppress(FlatshotError):
            target.use(path)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, 256 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counts: collections.Counter[str] = collections.Counter()
    before, slowest = peak(), 0.0
    report = os.open(folder / "report", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for number in range(first, last):
        data = make_input(target, sound, name, seed, number)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        os.pwrite(report, b"%-20d\n" % number, 0)
        start = time.process_time()
        outcome = use_one(target.use, path)
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        problems = [] if outcome in ("used", "refused") else [outcome]
        problems += ["slow"] if seconds > SLOW_SECONDS else []
        if peak() - before > HEAVY_BYTES:
            problems.append("heavy")
        counts[outcome] += 1
        for problem in problems:
            line = {"target": name, "number": number, "problem": problem, "seconds": seconds}
            with (folder / "problems").open("a") as file:
                file.write(json.dumps(line) + "\n")
        if number % 50 == 0 or problems or number == last - 1:
            state = {
                "number": number,
                "counts": counts,
                "slowest": slowest,
                "peak": peak() - before,
            }
            (folder / "state.part").write_text(json.dumps(state))
            (folder / "state.part").replace(folder / "state")
        if "heavy" in problems:
            sys.exit(3)  # a fresh process measures the next ones


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
