"""Whatever file or folder people hold to a graph: where every kind of source comes in.

A new kind of source is a line in `open_source`; what can be converted can be named wherever a
source can.
"""

from collections.abc import Mapping
from typing import Any

from flatshot.compiler.frozen.named_operator import name_parts
from flatshot.errors import ConfigError
from flatshot.formats.detector_graph import is_exported
from flatshot.formats.files import StrPath
from flatshot.formats.graph_files import is_graph, load_graph
from flatshot.formats.graphdef import Graph
from flatshot.formats.postprocess import checked
from flatshot.models.export import export

Source = Graph | StrPath
AUTO = "auto"
"""In place of a number of detections: as many as the source itself says."""
# Settings that `export` takes by name, and compares with what the configuration says.
_EXPORTED = (
    "max_detections",
    "max_classes_per_detection",
    "detections_per_class",
    "use_regular_nms",
)


def open_source(
    source: Source,
    pipeline_config: StrPath | None = None,
    *,
    config_override: str = "",
    settings: Mapping[str, Any] | None = None,
    use_moving_averages: bool | None = None,
) -> Graph:
    """The graph of a source, frozen; a checkpoint is exported.

    Args:
        source: a graph, or what `flatshot.load_graph` or `flatshot.export` take: a GraphDef, a
            SavedModel, a `.meta`, a `model.json`; the directory or prefix of a checkpoint.
        pipeline_config: the configuration; of a checkpoint it is found beside it.
        config_override: text merged over the configuration as protobuf merges.
        settings: of the post-processing, by option key or keyword, for an exporter to know; only
            of a checkpoint are they in the graph that comes back.
        use_moving_averages: of a checkpoint, as `flatshot.export` takes it.

    Raises:
        ConfigError: a configuration is given for a graph that is exported already, or does not fit
            the checkpoint.
        FileError: a file is missing or unreadable.
        FormatError: a file is damaged.
        UnsupportedError: it holds what is not built.
    """
    if not isinstance(source, Graph) and not is_graph(source):
        return export(
            source,
            pipeline_config,
            config_override=config_override,
            use_moving_averages=use_moving_averages,
            **_export_arguments(settings or {}),
        )
    if use_moving_averages is not None:
        raise ConfigError("use_moving_averages is for a checkpoint: a graph has one set of weights")
    graph = name_parts(source if isinstance(source, Graph) else load_graph(source))
    if is_exported(graph) and (pipeline_config or config_override):
        raise ConfigError(
            "a configuration is for a checkpoint, or for a graph that another tool froze; this "
            "one is exported already, and holds what a configuration would say: leave it out"
        )
    if config_override and not pipeline_config:
        raise ConfigError("config_override changes a configuration: give its path as well")
    return graph


def without_auto(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change something."""
    return {name: value for name, value in settings.items() if value != AUTO}


def _export_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    known = checked(without_auto(settings))
    arguments: dict[str, Any] = {key: known[key] for key in _EXPORTED if key in known}
    if settings.get("max_detections") == AUTO:
        arguments["max_detections"] = AUTO
    return arguments
