"""What a sweep is asked for, and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from flatshot.errors import ConfigError
from flatshot.evaluation.matching import By
from flatshot.evaluation.outcome import Rounding
from flatshot.evaluation.result import Result
from flatshot.formats.files import StrPath
from flatshot.formats.postprocess import checked
from flatshot.runtime.images import Resize


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is to be combined with what.

    Attributes:
        models: .tflite files.
        settings: of the post-processing, by keyword or option key -> values; one that is not here
            is what each model holds.
        resize: ways of resizing.
        threads: of the interpreter whose latency is measured; figures do not depend on them.
    """

    models: Sequence[StrPath]
    settings: Mapping[str, Sequence[Any]]
    resize: Sequence[Resize] = ("tensorflow",)
    threads: Sequence[int] = (1,)

    def changes(self) -> list[dict[str, Any]]:
        """All combinations of settings.

        Raises:
            ConfigError: a setting is none, has no values, or one out of range.
        """
        for name, values in self.settings.items():
            if not values:
                raise ConfigError(f"{name} has no values to try")
            for value in values:
                checked({name: value})
        return [
            dict(zip(self.settings, values, strict=True))
            for values in product(*self.settings.values())
        ]


@dataclass(frozen=True, eq=False)
class Swept:
    """One combination, measured.

    Attributes:
        model: the .tflite file.
        changes: the settings that were asked for, by their names.
        result: what a single run gives; its sums of times are those of the shared pass.
        operator: median seconds that the model's own operator takes on one thread for what NumPy
            does here, which is what a phone pays; None where there is none, or it was not asked
            for.
    """

    model: Path
    changes: Mapping[str, Any]
    result: Result
    operator: float | None

    @property
    def seconds(self) -> float:
        """Seconds from file to detections; with the operator's where that was measured.

        The median up to the network, which combinations have in common, and that of the
        post-processing: so that they differ by what differs.
        """
        times = self.result.times.latency
        before, after = np.median(times[:, :3].sum(axis=1)), np.median(times[:, 3])
        return float(before + (after if self.operator is None else self.operator))

    @property
    def title(self) -> str:
        """What was asked for, in a few words."""
        run, options = self.result.run, self.result.options
        parts = [self.model.name, *(f"{key}={value}" for key, value in self.changes.items())]
        parts += [f"resize={run.resize}"] * (run.resize != "tensorflow")
        parts += [f"threads={options['threads']}"] * (options["threads"] != 1)
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a sweep is to be done; see `evaluate` for what is not said here.

    Attributes:
        operator: time the model's own operator with each of the settings as well.
        resume: go on with the journals of an unfinished sweep of the same combinations.
    """

    count: int | None = None
    workers: int | None = None
    rounding: Rounding = "exact"
    categories: By = "auto"
    operator: bool = False
    resume: bool = False
