"""The detector that comes with Flatshot: SSD MobileNet V1, trained on drawn scenes.

`recipes/demo` in the repository says how.
"""

from importlib import resources
from pathlib import Path

from flatshot.formats import files
from flatshot.formats.files import StrPath

NAMES = (
    "checkpoint",
    "model.ckpt.index",
    "model.ckpt.data-00000-of-00001",
    "pipeline.config",
    "label_map.pbtxt",
    "labels.txt",
)


def write_detector(folder: StrPath) -> Path:
    """Write checkpoint, pipeline.config and labels into `folder`; made if it is not there.

    Returns:
        The checkpoint's prefix.

    Raises:
        FileError: the place cannot be written.
    """
    source = resources.files("flatshot.demo") / "detector"
    for name in NAMES:
        files.write_bytes(Path(folder) / name, (source / name).read_bytes())
    return Path(folder) / "model.ckpt"
