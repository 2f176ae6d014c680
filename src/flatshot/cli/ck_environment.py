"""The environment variables of Collective Knowledge's `object-detection-tflite`, as defaults.

Each one that still means something is the default of an option of `flatshot benchmark`; the option
wins. What CK did, and what is kept of it:

- `USE_NMS`: `regular` asks for regular NMS and any other text for fast. CK chose between two
  files; here the one file is overridden in memory.
- `USE_CUSTOM_NMS_SETTINGS` (from 13 May 2019): the variables of `_CUSTOM` count only when it is
  true; without it CK read none of them.
- `CUSTOM_MODEL_SETTINGS` (29 April to 13 May 2019, and in the original README): the same, and it
  made NMS regular whatever `USE_NMS` said, which is how the original's third table came to equal
  its first.
- Truth is `1`, `yes`, `on` or `true`, in any case. A variable that is unset or empty leaves what
  the model holds; so does a negative value of `_CUSTOM`.

`CK_BATCH_COUNT` was 1 by default; here no count means all images. The variables that named models,
folders and output files, and `FULL_REPORT`, mean nothing any more.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flatshot.errors import ConfigError
from flatshot.formats.postprocess import DECLARED

TRUE = {"1", "yes", "on", "true"}


def _truth(text: str) -> bool:
    return text.strip().lower() in TRUE


def _nms(text: str) -> str:
    return "regular" if text.strip().lower() == "regular" else "fast"


# Variable -> option, and what turns its text into the option's value.
_ALWAYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "CK_BATCH_COUNT": ("count", int),
    "CK_BATCH_SIZE": ("batch_size", int),
    "CK_SKIP_IMAGES": ("skip", int),
    "CK_HOST_CPU_NUMBER_OF_PROCESSORS": ("threads", int),
    "CK_METRIC_TYPE": ("metric", str.lower),
    "CK_SILENT_MODE": ("silent", _truth),
    "VERBOSE": ("verbose", _truth),
    **dict.fromkeys(DECLARED["use_regular_nms"].variables, ("nms", _nms)),
}
# Where two variables set one option, the later name of CK comes first.
_CUSTOM: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    variable: (setting.keyword, setting.type)
    for setting in DECLARED.values()
    if setting.type is not bool
    for variable in setting.variables
}

VARIABLES = (*_ALWAYS, *_CUSTOM, "USE_CUSTOM_NMS_SETTINGS", "CUSTOM_MODEL_SETTINGS")


def ck_defaults(environment: Mapping[str, str]) -> dict[str, Any]:
    """Option -> default, for the options of `flatshot benchmark` that `environment` speaks of.

    Raises:
        ConfigError: a variable that counts holds no number; the message names it.
    """
    defaults = _read(environment, _ALWAYS)
    legacy = _truth(environment.get("CUSTOM_MODEL_SETTINGS", ""))
    if legacy or _truth(environment.get("USE_CUSTOM_NMS_SETTINGS", "")):
        custom = _read(environment, _CUSTOM)
        defaults |= {option: value for option, value in custom.items() if value >= 0}
    if legacy:
        defaults["nms"] = "regular"
    return defaults


def _read(
    environment: Mapping[str, str], table: Mapping[str, tuple[str, Callable[[str], Any]]]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, (option, convert) in table.items():
        text = environment.get(variable, "")
        if text.strip() and option not in values:
            try:
                values[option] = convert(text)
            except ValueError as error:
                raise ConfigError(
                    f"the environment variable {variable} is {text!r}; give a number, or unset it"
                ) from error
    return values
