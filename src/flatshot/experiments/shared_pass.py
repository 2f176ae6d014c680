"""One pass over a data set for many settings: the network sees each image once."""

import contextlib
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flatshot.errors import ConfigError
from flatshot.evaluation.dataset import CocoDataset, DatasetImage
from flatshot.evaluation.evaluate import WARM_UP_IMAGES, known
from flatshot.evaluation.journal import Journal
from flatshot.evaluation.loop import OnProgress, Progress, Team, finish, look, see
from flatshot.evaluation.machine import cores
from flatshot.evaluation.matching import match
from flatshot.evaluation.outcome import Outcome
from flatshot.evaluation.result import Measured, conclude
from flatshot.evaluation.run import Run
from flatshot.experiments.grid import Asked, Swept
from flatshot.experiments.journals import NEWEST, Place, journal_place
from flatshot.experiments.sharing import Shared, narrow, share
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime.detector import Detector
from flatshot.runtime.images import Resize

# Images whose latency is measured, one at a time, with all settings.
LATENCY_IMAGES = 40
# Images that the model's own operator is timed on: with a low threshold it takes its time.
OPERATOR_IMAGES = 10

_log = logging.getLogger("flatshot")

Found = list[dict[int, Outcome]]


class SharedPass:
    """A model and a way of resizing, and all settings that are to be tried."""

    def __init__(
        self,
        model: Path,
        resize: Resize,
        changes: Sequence[Mapping[str, Any]],
        dataset: CocoDataset,
        asked: Asked,
    ) -> None:
        """Load the model, and see which settings share a suppression.

        Args:
            model: a .tflite file.
            resize: how images are brought to the size of its input.
            changes: the combinations of settings; all of them change the same names.
            dataset: the images.
            asked: the rest.

        Raises:
            ConfigError: the model's raw outputs cannot be read, or settings do not fit it.
        """
        self._model, self._dataset, self._asked = model, dataset, asked
        # The changes may mend what the file holds, so they are there from the beginning.
        self._base = Detector(model, resize=resize, postprocess="numpy", **changes[0])
        self._changes: dict[PostProcessSettings, Mapping[str, Any]] = {}
        for one in changes:
            self._changes.setdefault(self._base.settings.override(**one), one)
        self._groups = share(self._changes)
        self._finishers = [self._base.with_settings(group.wide) for group in self._groups]
        self._images = dataset.select(asked.count)
        self._matching = match(
            self._base.labels,
            self._base.settings.num_classes,
            dataset.categories,
            dataset.truth.category_ids,
            asked.categories,
        )

    def run(self, threads: Sequence[int], progress: OnProgress | None) -> Iterator[Swept]:
        """Measure all settings; the latency with each number of `threads`."""
        places = [self._place(group) for group in self._groups]
        with contextlib.ExitStack() as stack:
            journals = [
                stack.enter_context(Journal(place.path, self._run_of(group.wide).to_json()))
                if place.path
                else None
                for place, group in zip(places, self._groups, strict=True)
            ]
            uids = [journal.uid if journal else None for journal in journals]
            found, measured = self._look(journals, progress)
        operator = {one: self._operator(one) for one in self._changes}
        for number in threads:
            latency = self._latency(number, progress)
            for group, outcomes, uid in zip(self._groups, found, uids, strict=True):
                for settings in group.members:
                    result = conclude(
                        self._run_of(settings),
                        self._dataset,
                        self._images,
                        {key: narrow(one, settings) for key, one in outcomes.items()},
                        self._matching,
                        measured(latency[settings], number, uid),
                    )
                    changes = self._changes[settings]
                    yield Swept(self._model, changes, result, operator[settings])
        for place in places:
            place.done()

    def _place(self, group: Shared) -> Place:
        header = self._run_of(group.wide).to_json()
        return journal_place(header, NEWEST if self._asked.resume else None)

    def _run_of(self, settings: PostProcessSettings) -> Run:
        detector = self._base.with_settings(settings)
        return Run.of(detector, self._dataset, rounding=self._asked.rounding)

    def _look(
        self, journals: Sequence[Journal | None], progress: OnProgress | None
    ) -> tuple[Found, Callable[[Sequence[Outcome], int, str | None], Measured]]:
        """What each group finds, by image id; and what becomes of the times."""
        images = self._images
        found = [known(journal, images) for journal in journals]
        left = [image for image in images if any(image.id not in one for one in found)]
        size = min(self._asked.workers or cores(), len(images))
        team = Team(self._base, size, 1, self._finish_all)
        begin = time.perf_counter()
        done = len(images) - len(left)
        if progress:
            progress(Progress(done, len(images), 1, None, None))
        with contextlib.closing(team.outcomes(left)) as stream:
            for number, (image, outcomes) in enumerate(stream, done + 1):
                for one, journal, outcome in zip(found, journals, outcomes, strict=True):
                    one[image.id] = outcome
                    if journal is not None:
                        journal.add(outcome)
                if outcomes[0].error is not None:
                    _log.warning("left out: %s", outcomes[0].error)
                if progress:
                    progress(Progress(number, len(images), 1, image, outcomes[0]))
        loop = time.perf_counter() - begin

        def measured(latency: Sequence[Outcome], threads: int, uid: str | None) -> Measured:
            return Measured(
                graph_load=team.graph_load,
                loop=loop,
                workers=size,
                fresh=len(left),
                again=(),
                latency=latency,
                options=self._options(threads, size),
                journal=uid,
                shared=True,
            )

        return found, measured

    def _finish_all(self, detector: Detector, image: DatasetImage) -> list[Outcome]:
        """What each group finds on an image."""
        seen = see(detector, image)
        if isinstance(seen, Outcome):
            return [seen] * len(self._groups)
        return [finish(one, seen) for one in self._finishers]

    def _options(self, threads: int, workers: int) -> dict[str, Any]:
        """As a single run has them."""
        return {
            "categories": self._matching.by,
            "threads": threads,
            "workers": workers,
            "worker_threads": 1,
            "count": self._asked.count,
            "skip": 0,
            "batch_size": 1,
            "repetitions": 1,
        }

    def _latency(
        self, threads: int, progress: OnProgress | None
    ) -> dict[PostProcessSettings, list[Outcome]]:
        """Each settings' outcomes of a few images, one at a time, on so many threads."""
        detector = self._base.fork(threads)
        finishers = {one: self._base.with_settings(one) for one in self._changes}
        for image in self._images[:WARM_UP_IMAGES]:
            look(detector, image)
        found: dict[PostProcessSettings, list[Outcome]] = {one: [] for one in finishers}
        images = self._images[:LATENCY_IMAGES]
        if progress:
            progress(Progress(0, len(images), 0, None, None))
        for number, image in enumerate(images, 1):
            seen = see(detector, image)
            if not isinstance(seen, Outcome):
                for settings, finisher in finishers.items():
                    found[settings].append(finish(finisher, seen))
            if progress:
                progress(Progress(number, len(images), 0, image, None))
        return found

    def _operator(self, settings: PostProcessSettings) -> float | None:
        """Median seconds of the model's own operator, where that is asked for."""
        if not self._asked.operator:
            return None
        try:
            whole = Detector(
                self._model, settings=settings, resize=self._base.resize, postprocess="op"
            )
        except ConfigError:  # a cut model
            return None
        cut = self._base.fork(1)
        apart = []
        for image in self._images[: WARM_UP_IMAGES + OPERATOR_IMAGES]:
            with_it, without = look(whole, image), see(cut, image)
            if with_it.error is None and not isinstance(without, Outcome):
                apart.append(with_it.seconds[2] - without.seconds[2])
        # The first few warm up.
        return max(statistics.median(apart[WARM_UP_IMAGES:] or apart), 0.0) if apart else None
