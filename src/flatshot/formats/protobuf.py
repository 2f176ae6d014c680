"""Protocol Buffers from declared tables, in a descriptor pool of our own.

No generated code, hence no tie to one protobuf release, and no clash with an installed TensorFlow
that registers the same messages in the common pool. A message is declared as its fields in the
notation of .proto files:

    {"VersionDef": ["int32 producer = 1", "repeated int32 bad_consumers = 3"]}

`map<K, V>`, `[default = X]` and the prefix `oneof NAME:` work as they do there; an enum is a
dict of names to numbers.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format

from flatshot.errors import FormatError
from flatshot.formats.sniffing import HEAD, mistaken

Message = message.Message
Declarations = Mapping[str, Sequence[str] | Mapping[str, int]]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int64": _Field.TYPE_INT64,
    "uint64": _Field.TYPE_UINT64,
    "int32": _Field.TYPE_INT32,
    "fixed32": _Field.TYPE_FIXED32,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "uint32": _Field.TYPE_UINT32,
}
_NOTATION = re.compile(
    r"(?:oneof (?P<oneof>\w+): )?(?P<repeated>repeated )?"
    r"(?:map<(?P<key>\w+), (?P<value>\w+)>|(?P<type>\w+)) (?P<name>\w+) = (?P<number>\d+)"
    r"(?: \[default = (?P<default>[^\]]+)\])?"
)


def message_classes(package: str, syntax: str, declarations: Declarations) -> dict[str, Any]:
    """The classes of the declared messages, by name.

    Args:
        package: the package name, used in error messages of protobuf only.
        syntax: `proto2` (presence and defaults) or `proto3`.
        declarations: messages as lists of fields, enums as dicts.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax=syntax
    )
    for name, body in declarations.items():
        if isinstance(body, Mapping):
            enum = file.enum_type.add(name=name)
            for label, number in body.items():
                enum.value.add(name=label, number=number)
        else:
            _declare(file.message_type.add(name=name), body, package, declarations)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name, body in declarations.items()
        if not isinstance(body, Mapping)
    }


def _declare(
    target: descriptor_pb2.DescriptorProto,
    fields: Sequence[str],
    package: str,
    declarations: Declarations,
) -> None:
    for text in fields:
        found = _NOTATION.fullmatch(text)
        assert found, f"{target.name}: {text!r} is no field"
        field = target.field.add(name=found["name"], number=int(found["number"]))
        type_name = found["type"]
        repeated = found["repeated"] is not None
        if found["key"]:
            type_name = _declare_map_entry(target, found, package, declarations)
            repeated = True
        field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        _set_type(field, type_name, package, declarations)
        if found["default"]:
            field.default_value = found["default"]
        if found["oneof"]:
            names = [oneof.name for oneof in target.oneof_decl]
            if found["oneof"] not in names:
                target.oneof_decl.add(name=found["oneof"])
                names.append(found["oneof"])
            field.oneof_index = names.index(found["oneof"])


def _declare_map_entry(
    target: descriptor_pb2.DescriptorProto,
    found: re.Match[str],
    package: str,
    declarations: Declarations,
) -> str:
    """A map is a repeated message of key and value; protobuf finds it by this very name."""
    name = "".join(part.capitalize() for part in found["name"].split("_")) + "Entry"
    entry = target.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (label, type_name) in enumerate(
        [("key", found["key"]), ("value", found["value"])], start=1
    ):
        field = entry.field.add(name=label, number=number, label=_Field.LABEL_OPTIONAL)
        _set_type(field, type_name, package, declarations)
    return f".{package}.{target.name}.{name}"


def _set_type(field: Any, type_name: str, package: str, declarations: Declarations) -> None:
    if type_name in _SCALARS:
        field.type = _SCALARS[type_name]
        return
    is_enum = isinstance(declarations.get(type_name), Mapping)
    field.type = _Field.TYPE_ENUM if is_enum else _Field.TYPE_MESSAGE
    field.type_name = type_name if type_name.startswith(".") else f".{package}.{type_name}"


def parse_binary(cls: Any, data: bytes | memoryview, what: str) -> Any:
    """The message of class `cls` in `data`.

    Raises:
        FormatError: `data` is no such message.
    """
    try:
        return cls.FromString(bytes(data))
    except (message.DecodeError, RecursionError) as error:
        raise FormatError(mistaken(data[:HEAD], f"a {what}") or f"not a {what}: {error}") from error


def parse_text(target: Any, text: str | bytes, what: str) -> None:
    """Merge text format into the message `target` as protobuf does; unknown fields are skipped.

    Scalars replace, messages merge, repeated fields append, another member of a oneof clears the
    one before.

    Raises:
        FormatError: a typing mistake; the message has its line and column, from 1.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        with warnings.catch_warnings():
            # An escape that is none, like \\q, is a mere warning to Python and a mistake here.
            warnings.simplefilter("error", DeprecationWarning)
            text_format.Merge(decoded, target, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise FormatError(f"{what}: {_position(error)}{_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{what}: byte {error.start} is not UTF-8 text") from error
    except RecursionError as error:
        raise FormatError(f"{what}: its messages are nested too deep") from error
    except (DeprecationWarning, ValueError, TypeError) as error:
        raise FormatError(f"{what}: {error}") from error


def _position(error: text_format.ParseError) -> str:
    line, column = error.GetLine(), error.GetColumn()
    return "" if line is None else f"line {line}, column {column or 1}: "


def _reason(error: text_format.ParseError) -> str:
    # protobuf puts "line:column : " before the reason; we have said that already.
    return re.sub(r"^\d+:\d+ : ", "", str(error))


def unknown_fields(cls: Any, text: str, what: str) -> list[tuple[str, int, int]]:
    """The fields of well-formed `text` that `cls` does not declare: dotted path, line, column.

    What lies inside an unknown field is not looked at, nor inside a message declared with no fields
    at all: such a message stands for one whose content does not matter.

    Raises:
        FormatError: `text` is not well-formed.
    """
    walker = _Walker(text)
    try:
        walker.walk(cls.DESCRIPTOR, "", closing="")
    except text_format.ParseError as error:
        raise FormatError(f"{what}: {_position(error)}{_reason(error)}") from error
    except RecursionError as error:
        raise FormatError(f"{what}: its messages are nested too deep") from error
    return walker.unknown


class _Walker:
    """Reads text format once more for the names of its fields alone."""

    def __init__(self, text: str) -> None:
        # Lines as `text_format.Merge` sees them: `splitlines` knows a dozen other ends of a line.
        self._tokens = text_format.Tokenizer(text.split("\n"))
        self.unknown: list[tuple[str, int, int]] = []

    def walk(self, descriptor: Any, path: str, closing: str) -> None:
        tokens = self._tokens
        while not tokens.AtEnd() and tokens.token != closing:
            here = tokens.ParseError("unknown")  # type: ignore[arg-type]  # the stub is wrong
            name = tokens.token
            tokens.NextToken()
            field = descriptor.fields_by_name.get(name) if descriptor else None
            if descriptor and descriptor.fields and field is None:
                line, column = here.GetLine() or 1, here.GetColumn() or 1
                self.unknown.append((f"{path}{name}", line, column))
            self._value(field.message_type if field else None, f"{path}{name}.")
            if not tokens.TryConsume(","):
                tokens.TryConsume(";")
        if closing:
            tokens.TryConsume(closing)

    def _value(self, descriptor: Any, path: str) -> None:
        tokens = self._tokens
        tokens.TryConsume(":")
        if tokens.TryConsume("["):
            while not tokens.AtEnd() and not tokens.TryConsume("]"):
                self._value(descriptor, path)
                tokens.TryConsume(",")
        elif tokens.TryConsume("{"):
            self.walk(descriptor, path, "}")
        elif tokens.TryConsume("<"):
            self.walk(descriptor, path, ">")
        else:
            tokens.TryConsume("-")
            quoted = tokens.token[:1] in ("'", '"')
            tokens.NextToken()
            while quoted and tokens.token[:1] in ("'", '"'):
                tokens.NextToken()
