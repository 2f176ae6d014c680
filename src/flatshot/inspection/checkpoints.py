"""A checkpoint: what its variables say of the detector, and whether its configuration fits."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flatshot.errors import FileError, FlatshotError
from flatshot.formats import files
from flatshot.formats.checkpoint import Checkpoint, Variable, Variables
from flatshot.formats.checkpoint_place import find_config
from flatshot.formats.files import StrPath
from flatshot.formats.object_graph import is_object_based
from flatshot.formats.pipeline import load_pipeline
from flatshot.inspection.configurations import describe_config
from flatshot.inspection.description import Inspection, TensorInfo
from flatshot.models.detection_config import DetectionConfig, read_config
from flatshot.models.export import build_graph
from flatshot.models.trained import trained_variables

# Where the variables of a backbone stand in TensorFlow 1.
_BACKBONE = re.compile(r"FeatureExtractor/([A-Za-z]\w*)/")
_PYRAMIDS = (("/fpn/", "feature pyramid"), ("/MnasFPN/", "MnasFPN"), ("/Base_Conv2d", "pooling"))
_HEADS = (
    ("BoxPredictor_0/", "convolutional, one for each feature map"),
    ("BoxEncodingPredictor/", "convolutional, for one feature map"),
    ("WeightSharedConvolutionalBoxPredictor/", "weight-shared"),
)
# What training keeps beside the variables of a network, by the end of the name.
_TRAINING = re.compile(
    r"(^global_step|/(Momentum|RMSProp|RMSProp_1|Adam|Adam_1|ExponentialMovingAverage"
    r"|(weights|act)_quant/.*|biased|local_step)|beta[12]_power)$"
)
_SHOWN = 3


def inspect_checkpoint(path: StrPath) -> Inspection:
    """Look into a checkpoint of TensorFlow 1 or 2, and into the configuration that lies by it."""
    checkpoint = Checkpoint(path)
    variables = list(checkpoint.values())
    numbers = [v for v in variables if v.dtype.kind == "f"]
    averaged = sum(v.name.endswith("/ExponentialMovingAverage") for v in variables)
    return Inspection(
        path=str(path),
        kind="TensorFlow checkpoint, V2 (TensorBundle)",
        tensors=tuple(
            TensorInfo(v.name, v.data_type.name.removeprefix("DT_").lower(), v.shape, v.size)
            for v in variables
        ),
        parameters=sum(math.prod(v.shape) for v in numbers),
        bytes=sum(v.size for v in variables),
        facts={
            "prefix": checkpoint.prefix,
            "variables": str(len(variables)),
            "data files": _data_files(checkpoint, variables),
            "moving averages": str(averaged) if averaged else "none",
            **_family(checkpoint),
            **_fit(checkpoint),
        },
    )


def _data_files(checkpoint: Checkpoint, variables: Sequence[Variable]) -> str:
    """The data files in words: how many there are, or what is wrong with them."""
    shards = sorted({v.shard for v in variables})
    problems = [
        f"{checkpoint.shard_path(n)} missing"
        for n in shards
        if not checkpoint.shard_path(n).is_file()
    ]
    problems += [
        f"{path} cut short, copy it again"
        for path, end in _ends(checkpoint, variables).items()
        if files.is_file(path) and path.stat().st_size < end
    ]
    return "; ".join(problems) or str(len(shards))


def _ends(checkpoint: Checkpoint, variables: Sequence[Variable]) -> dict[Path, int]:
    """How long each data file must be to hold its variables."""
    ends: dict[Path, int] = {}
    for variable in variables:
        path = checkpoint.shard_path(variable.shard)
        ends[path] = max(ends.get(path, 0), variable.offset + variable.size)
    return ends


def _family(checkpoint: Checkpoint) -> dict[str, str]:
    """What the names of the variables say of the detector."""
    if is_object_based(checkpoint):
        return {"TensorFlow": "2 (object-based)"}
    names = list(checkpoint)
    facts = {"TensorFlow": "1"}
    backbones = {found[1]: None for name in names if (found := _BACKBONE.match(name))}
    if backbones:
        pyramids = [kind for part, kind in _PYRAMIDS if any(part in name for name in names)]
        facts["network"] = ", ".join([*backbones, *pyramids])
    heads = [kind for part, kind in _HEADS if any(name.startswith(part) for name in names)]
    if heads:
        facts["head"] = ", ".join(heads)
    if any(name.endswith("_quant/min") for name in names):
        facts["quantisation-aware"] = "yes: it holds trained ranges"
    return facts


def _fit(checkpoint: Checkpoint) -> dict[str, str]:
    """What the configuration that lies by the checkpoint would build of it."""
    try:
        path = find_config(checkpoint.prefix)
    except FileError:
        return {"pipeline.config": "none beside it"}
    facts = {"pipeline.config": str(path)}
    try:
        config = read_config(load_pipeline(path))
    except FlatshotError as error:
        return {**facts, "builds": f"no: {error}"}
    return {
        **facts,
        "feature extractor": config.feature_extractor.type,
        **_built(checkpoint, config),
    }


def _built(checkpoint: Checkpoint, config: DetectionConfig) -> dict[str, str]:
    try:
        asked = _Asked(trained_variables(checkpoint, config))
        graph = build_graph(config, asked)
    except FlatshotError as error:
        return {"builds": f"no: {error}"}
    anchors = graph.by_name["anchors"].attrs["value"]
    count = len(anchors) if isinstance(anchors, np.ndarray) else 0
    described = describe_config(config, count)
    described.pop("moving averages")  # what the checkpoint holds of them is told already
    facts = {"builds": "yes", **described}
    if not is_object_based(checkpoint):
        unused = [name for name in checkpoint if name not in asked.names]
        unused = [name for name in unused if not _TRAINING.search(name)]
        facts["not used"] = _first(unused)
    return facts


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "none"


class _Asked:
    """Variables of which the shape alone is wanted; keeps who was asked for."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._variables

    def read(self, name: str) -> Any:
        """Zeros in place of a checkpoint's values, whose file may be missing."""
        self.names.add(name)
        if isinstance(self._variables, Checkpoint):
            variable = self._variables[name]
            return np.broadcast_to(np.zeros((), variable.dtype), variable.shape)
        return self._variables.read(name)
