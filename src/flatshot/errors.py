"""Everything Flatshot raises on purpose.

    FlatshotError
    ├── FileError              a path is missing, unreadable or cannot be written
    ├── FormatError            the bytes are not what their format asks for
    │   └── ChecksumError      the bytes are not those that were written
    ├── ConfigError            a config or an option contradicts itself or cannot be honoured
    ├── UnsupportedError       valid, and outside what Flatshot does
    │   └── UnsupportedOpError graph operators without a TensorFlow Lite counterpart here
    ├── GraphError             a graph that cannot be: cycles, missing inputs, impossible shapes
    ├── ImageError             an image that cannot be decoded
    ├── ModelError             a .tflite that is no detector, or that LiteRT refuses
    ├── DatasetError           annotations or images that cannot be scored
    ├── PackageError           a package that is unknown, not to be had, or not to be trusted
    └── RecordError            a record that is missing or that cannot be kept

Each message is one line that says what, where and what to do.
"""


class FlatshotError(Exception):
    """The base of every error that Flatshot raises on purpose; catch this one."""

    def __str__(self) -> str:
        # What files and other libraries contribute to a message may break lines.
        text = super().__str__()
        return text if len(text.splitlines()) <= 1 else " ".join(text.split())


class FileError(FlatshotError):
    """A path is missing, unreadable or cannot be written."""


class FormatError(FlatshotError):
    """The bytes of a file are not what its format asks for."""


class ChecksumError(FormatError):
    """The bytes of a file are not those that were written."""


class ConfigError(FlatshotError):
    """A configuration or an option contradicts itself or cannot be honoured."""


class UnsupportedError(FlatshotError):
    """Valid input that lies outside what Flatshot does."""


class UnsupportedOpError(UnsupportedError):
    """Graph operators for which the compiler has no TensorFlow Lite counterpart."""


class GraphError(FlatshotError):
    """A graph that cannot be: a cycle, a missing input, an impossible shape."""


class ImageError(FlatshotError):
    """An image that cannot be decoded."""


class ModelError(FlatshotError):
    """A .tflite that is no detector, or that the runtime refuses."""


class DatasetError(FlatshotError):
    """Annotations or images that cannot be scored."""


class PackageError(FlatshotError):
    """A package that is unknown, not to be had, or not to be trusted."""


class RecordError(FlatshotError):
    """A record that is missing or cannot be kept."""
