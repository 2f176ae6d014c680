"""A model's first run, in a process of its own.

What `structure` cannot see (a kernel's own fault on odd shapes) shows when the model runs. So where
a model that was not made in this process is new to this home, a child process starts it and runs
it once on noise, within limits of memory and time; it takes its import of LiteRT, some tenths of a
second, while this process imports LiteRT as well. A model that survives is remembered by its hash
and never tried again with this LiteRT. Where no child can be started (a sandbox, an embedded
Python), the structure alone has to do. `FLATSHOT_TRUST_MODELS=1` leaves trials out.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from flatshot.errors import ModelError
from flatshot.home import home

_log = logging.getLogger("flatshot")
_REMEMBERED = "tried-models"
TRUST = "FLATSHOT_TRUST_MODELS"
# What a model may take beyond the interpreter itself. The largest SSD there is (1536 x 1536) takes
# under 2 GB and some ten seconds of one slow core.
_MAX_BYTES = 4 << 30
_MAX_SECONDS = 120
_READY, _DONE = b"ready\n", b"done\n"
# Run by a bare Python: where this one finds its packages is told in the first argument.
_CHILD = r"""
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import numpy
from ai_edge_litert.interpreter import Interpreter
say = sys.stdout.buffer
data = sys.stdin.buffer.read()
try:
    import resource
    pages = int(open("/proc/self/statm").read().split()[0])
    room = pages * resource.getpagesize() + len(data) + int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
except (ImportError, OSError, ValueError):
    pass
say.write(b"ready\n")
say.flush()
try:
    run = Interpreter(model_content=data, num_threads=1)
    run.allocate_tensors()
    noise = numpy.random.default_rng(0)
    for port in run.get_input_details():
        value = noise.uniform(-1, 1, port["shape"])
        if port["dtype"] != numpy.float32:
            value = value * 127
        run.set_tensor(port["index"], value.astype(port["dtype"]))
    run.invoke()
    for port in run.get_output_details():
        run.get_tensor(port["index"])
except (ValueError, RuntimeError):
    pass
say.write(b"done\n")
"""


class Trial:
    """A child process that starts a model and runs it once."""

    def __init__(self, content: bytes, key: str) -> None:
        self._key = key
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    *("-I", "-S", "-B", "-c"),
                    _CHILD,
                    json.dumps(sys.path),
                    str(_MAX_BYTES),
                ],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def finish(self) -> None:
        """Wait for the child.

        Raises:
            ModelError: it died of the model, or took longer than a model may.
        """
        with self._child:
            try:
                said, _ = self._child.communicate(timeout=_MAX_SECONDS)
            except subprocess.TimeoutExpired:
                raise ModelError(
                    f"LiteRT did not come to an end with it in {_MAX_SECONDS} seconds"
                ) from None
            finally:
                # After an interruption, too, nothing goes on behind the user's back.
                self._child.kill()
        if said == _READY + _DONE:
            _remember(self._key)
        elif said.startswith(_READY):
            raise ModelError(f"LiteRT dies of it ({_death(self._child.returncode)})")
        else:
            _log.debug("no trial of the model: the child process could not load LiteRT")


def begin(content: bytes, key: str) -> Trial | None:
    """Try `content`, the bytes of a .tflite, in a child process.

    Args:
        content: what is to run.
        key: what tells it from all others, without blanks.

    Returns:
        The running trial, to `finish` before the model is started here; None where this home
        knows the model as good, trials are left out, or no child can be started.
    """
    if os.environ.get(TRUST) == "1" or not _is_python():
        return None
    key = f"{key} {_litert()}"
    if key in _known():
        return None
    try:
        return Trial(content, key)
    except OSError as error:
        _log.debug("no trial of the model: %s", error)
        return None


def _is_python() -> bool:
    """Whether `sys.executable` is Python, and not a program that Python is embedded in."""
    return "python" in Path(sys.executable or "").name and not getattr(sys, "frozen", False)


def _litert() -> str:
    import ai_edge_litert

    return str(getattr(ai_edge_litert, "__version__", "0"))


def _known() -> set[str]:
    try:
        return set((home() / _REMEMBERED).read_text("utf-8", "replace").splitlines())
    except OSError:
        return set()


def _remember(key: str) -> None:
    # Where the home cannot be written, the next start tries the model once more.
    with contextlib.suppress(OSError):
        home().mkdir(parents=True, exist_ok=True)
        with (home() / _REMEMBERED).open("a", encoding="utf-8") as file:
            file.write(key + "\n")


def _death(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
