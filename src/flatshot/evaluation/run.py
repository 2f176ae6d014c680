"""What a run is of: all that the detections of an image depend on, as one value."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.machine import versions
from flatshot.evaluation.outcome import Rounding
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime.detector import Detector


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that the detections of a run depend on; equal runs find the same.

    The header of a journal, a record and a result are made of it, so that none of them can lack
    what another one has.

    Attributes:
        model: SHA-256 of the model's bytes.
        anchors: SHA-256 of the anchors that boxes are decoded with, float32 as they lie in memory;
            None where only the model's own operator knows them.
        dataset: SHA-256 of the annotation file's bytes.
        image_folder: where the images are.
        settings: of the post-processing.
        postprocess: where that runs, "op" or "numpy".
        resize: how images are brought to the size of the input.
        rounding: "exact" or "ck".
        threads: threads of the interpreter that finds; LiteRT's operator depends on them.
        versions: of Flatshot, Python and the libraries.
    """

    model: str
    anchors: str | None
    dataset: str
    image_folder: str
    settings: PostProcessSettings
    postprocess: str
    resize: str
    rounding: Rounding
    threads: int
    versions: Mapping[str, str]

    @classmethod
    def of(
        cls,
        detector: Detector,
        dataset: CocoDataset,
        *,
        rounding: Rounding = "exact",
        workers: int | None = None,
    ) -> "Run":
        """The run of `detector` over `dataset`; see `evaluate` for the others."""
        anchors = detector.anchors
        return cls(
            model=detector.sha256,
            anchors=None if anchors is None else sha256(anchors.tobytes()).hexdigest(),
            dataset=dataset.sha256,
            image_folder=str(dataset.folder.resolve()),
            settings=detector.settings,
            postprocess=detector.postprocess,
            resize=detector.resize,
            rounding=rounding,
            threads=worker_threads(detector, workers),
            versions=versions(),
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {**asdict(self), "versions": dict(self.versions)}


def worker_threads(detector: Detector, workers: int | None) -> int:
    """Threads of each interpreter of the loop: one, or the detector's own if it works alone.

    Many interpreters of one thread get more done than one of many threads; but whoever asks for a
    single worker asks for the detector as it is, and LiteRT's operator does depend on its threads.
    """
    return detector.threads if workers == 1 else 1
