"""Hostile inputs in processes of their own, with limits on memory and time."""

import os
import subprocess
import sys
from pathlib import Path

import flatshot

_BEFORE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import flatshot.errors
def tell(use):
    try:
        print(use())
    except flatshot.errors.FlatshotError as error:
        print("REFUSED", type(error).__name__, error)
    sys.stdout.flush()
"""
_LIMIT = """
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {room}, size + {room}))
"""


def outcomes(
    code: str, *arguments: str | Path, room: int = 1 << 30, seconds: int = 60, **env: str
) -> list[str]:
    """The lines that `code` prints in a child process, which must end by itself and well.

    Args:
        code: may say `limit()` once it has imported what it needs, and `tell(use)` to print what
            `use()` gives or how it was refused.
        arguments: `sys.argv[1:]` of the child.
        room: bytes of address space after `limit()`.
        seconds: for the child to end.
        env: variables of the environment, besides the present ones.
    """
    head = _BEFORE + "def limit():" + _LIMIT.format(room=room).replace("\n", "\n    ")
    source = str(Path(flatshot.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", f"{head}\n{code}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PYTHONPATH": path, **env},
    )
    assert done.returncode == 0, done.stderr[-2000:] or done.returncode
    return done.stdout.splitlines()
