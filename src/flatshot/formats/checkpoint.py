"""TensorFlow checkpoints, V2 (TensorBundle): `PREFIX.index` and `PREFIX.data-SSSSS-of-NNNNN`.

The index is a sorted string table from variable names to where their bytes lie; the shards hold
raw little-endian tensors back to back. Source: `tensorflow/core/util/tensor_bundle/`.
"""

import functools
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flatshot.errors import ChecksumError, FormatError, UnsupportedError
from flatshot.formats import files, protobuf, sstable
from flatshot.formats.checkpoint_place import find_prefix
from flatshot.formats.checksum import masked_crc32c
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import DATA_TYPES, MAX_RANK, NUMPY_TYPES, Array, DataType
from flatshot.formats.sniffing import HEAD, is_markup, mistaken
from flatshot.formats.varint import read_varint

_MAX_ELEMENTS = 2**48
# How the keys of slices begin. The variable that they are of comes later and is refused by name.
_SLICE = b"\0"


@dataclass(frozen=True)
class Variable:
    """What the index says of one tensor: its type, shape, and where its bytes are."""

    name: str
    data_type: DataType
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype in which `Checkpoint.read` gives the tensor."""
        if self.data_type is DataType.DT_BFLOAT16:
            return np.dtype(np.float32)
        return NUMPY_TYPES.get(self.data_type, np.dtype(object))


class Variables(Protocol):
    """Where the values of variables come from: a checkpoint, or a test."""

    def __contains__(self, name: object) -> bool:
        """Whether there is a variable of this name."""

    def read(self, name: str) -> Array:
        """The value of a variable that is there."""


class Checkpoint(Mapping[str, Variable]):
    """The variables of a checkpoint by name, in byte order; their values are read when asked for.

    Args:
        place: the prefix (`dir/model.ckpt`), or what `find_prefix` finds it by: a directory, a
            `checkpoint` state file, a file of the checkpoint.

    Raises:
        FileError: there is no checkpoint at `place`.
        FormatError: its index is damaged.
        UnsupportedError: it is of the V1 format or big-endian.
    """

    def __init__(self, place: StrPath) -> None:
        self.prefix = find_prefix(place)
        path = f"{self.prefix}.index"
        try:
            self._shard_count, self._variables = read_index(files.map_bytes(path))
        except (FormatError, UnsupportedError) as error:
            raise type(error)(f"{path}: {error}") from error
        self._shards: dict[int, memoryview] = {}

    def __getitem__(self, name: str) -> Variable:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def read(self, name: str) -> Array:
        """The value of the variable `name`, after its checksum has been verified.

        Returns:
            A read-only view of the mapped file; bfloat16 is widened to float32, and strings come
            as an object array of `bytes`.

        Raises:
            KeyError: the checkpoint has no such variable.
            FileError: the shard with its bytes is missing.
            FormatError: the entry points outside its shard or contradicts itself.
            ChecksumError: the bytes are not those that were written.
        """
        variable = self._variables[name]
        path = self.shard_path(variable.shard)
        raw = self._shard(variable.shard)[variable.offset : variable.offset + variable.size]
        if len(raw) != variable.size:
            head = self._shard(variable.shard)[:HEAD]
            if is_markup(head):
                raise FormatError(f"{path}: {mistaken(head, 'the data of a checkpoint')}")
            raise FormatError(
                f"{path}: it ends before the {variable.size} bytes of {name!r} at offset "
                f"{variable.offset}; copy the file again"
            )
        if variable.data_type is DataType.DT_STRING:
            return _read_strings(variable, raw, path)
        if masked_crc32c(raw) != variable.crc32c:
            raise _damaged(path, name)
        if variable.data_type is DataType.DT_BFLOAT16:
            wide = np.frombuffer(raw, "<u2").astype("<u4") << 16
            return wide.view("<f4").reshape(variable.shape)
        return np.frombuffer(raw, variable.dtype).reshape(variable.shape)

    def shard_path(self, shard: int) -> Path:
        """The file that holds the bytes of shard number `shard`."""
        return Path(f"{self.prefix}.data-{shard:05d}-of-{self._shard_count:05d}")

    def _shard(self, shard: int) -> memoryview:
        if shard not in self._shards:
            self._shards[shard] = files.map_bytes(self.shard_path(shard))
        return self._shards[shard]


def read_index(data: bytes | memoryview) -> tuple[int, dict[str, Variable]]:
    """The number of shards and the variables by name, from the bytes of an `.index` file.

    Raises:
        FormatError: the bytes are no index.
        ChecksumError: a block of it is damaged.
        UnsupportedError: the tensors are big-endian, or sliced.
    """
    shard_count = 0
    variables = {}
    sliced = False
    for number, (key, value) in enumerate(sstable.read_table(data)):
        if number == 0:
            if key:
                raise FormatError("its first entry is no header")
            shard_count = _read_header(value)
            continue
        if key.startswith(_SLICE):
            sliced = True
            continue
        variable = _read_entry(key, value)
        if not 0 <= variable.shard < shard_count:
            raise FormatError(f"{variable.name!r} lies in shard {variable.shard} of {shard_count}")
        variables[variable.name] = variable
    if not shard_count:
        raise FormatError("it is empty")
    if sliced:
        raise FormatError("it holds slices of variables that it does not name")
    return shard_count, variables


def _read_header(value: bytes) -> int:
    header = protobuf.parse_binary(_messages()["BundleHeaderProto"], value, "checkpoint header")
    if header.endianness != 0:
        raise UnsupportedError(
            "a big-endian checkpoint; load it and save it anew on a little-endian machine"
        )
    if header.version.min_consumer > 1:
        raise UnsupportedError(f"a checkpoint for readers of version {header.version.min_consumer}")
    if not 0 < header.num_shards < 100_000:
        raise FormatError(f"its header claims {header.num_shards} shards")
    return int(header.num_shards)


def _read_entry(key: bytes, value: bytes) -> Variable:
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise FormatError(f"the variable name {key!r} is not UTF-8") from None
    entry = protobuf.parse_binary(_messages()["BundleEntryProto"], value, f"entry for {name!r}")
    if entry.slices:
        raise UnsupportedError(f"{name!r} is saved in slices (a partitioned variable)")
    try:
        data_type = DataType(entry.dtype)
    except ValueError:
        raise FormatError(f"{name!r} has the unknown element type {entry.dtype}") from None
    if len(entry.shape.dim) > MAX_RANK:
        raise FormatError(f"{name!r} has {len(entry.shape.dim)} dimensions")
    shape = tuple(dim.size for dim in entry.shape.dim)
    variable = Variable(
        name, data_type, shape, entry.shard_id, entry.offset, entry.size, entry.crc32c
    )
    _check_size(variable)
    return variable


def _check_size(variable: Variable) -> None:
    name, size = variable.name, variable.size
    if any(dim < 0 for dim in variable.shape) or variable.offset < 0 or size < 0:
        raise FormatError(f"{name!r} has shape {list(variable.shape)} at offset {variable.offset}")
    # An empty tensor may have sides of any length; NumPy multiplies those that are not 0.
    if math.prod(dim or 1 for dim in variable.shape) > _MAX_ELEMENTS:
        raise FormatError(f"{name!r} cannot have shape {list(variable.shape)}")
    if variable.data_type is DataType.DT_STRING:
        return
    if variable.data_type is DataType.DT_BFLOAT16:
        item = 2
    elif variable.data_type in NUMPY_TYPES:
        item = NUMPY_TYPES[variable.data_type].itemsize
    else:
        raise UnsupportedError(f"{name!r} has element type {variable.data_type.name}")
    if math.prod(variable.shape) * item != size:
        raise FormatError(f"{size} bytes do not fill {name!r} of shape {list(variable.shape)}")


def _read_strings(variable: Variable, raw: memoryview, path: Path) -> Array:
    """Strings are stored as their lengths, a checksum of the lengths, then their bytes.

    The checksum of the whole runs over the lengths as 32-bit numbers (64 where they need it), the
    stored checksum and the bytes.
    """
    count = math.prod(variable.shape)
    if count > len(raw):
        raise FormatError(f"{path}: {len(raw)} bytes do not hold {count} strings")
    lengths = []
    position = 0
    for _ in range(count):
        length, position = read_varint(raw, position)
        lengths.append(length)
    summed = b"".join(struct.pack("<I" if n < 2**32 else "<Q", n) for n in lengths)
    rest = raw[position:]
    if len(rest) != 4 + sum(lengths):
        raise FormatError(f"{path}: the strings of {variable.name!r} do not fill their place")
    if masked_crc32c(summed) != int.from_bytes(rest[:4], "little"):
        raise _damaged(path, variable.name)
    if masked_crc32c(summed + bytes(rest)) != variable.crc32c:
        raise _damaged(path, variable.name)
    values = np.empty(count, object)
    position = 4
    for number, length in enumerate(lengths):
        values[number] = bytes(rest[position : position + length])
        position += length
    return values.reshape(variable.shape)


def _damaged(path: Path, name: str) -> ChecksumError:
    return ChecksumError(
        f"{path}: the bytes of {name!r} are damaged: their checksum differs from the index; "
        "copy or download the file again"
    )


def write_checkpoint(prefix: StrPath, tensors: Mapping[str, Array]) -> None:
    """Write `tensors` as a V2 checkpoint of one shard, and the `checkpoint` state file beside it.

    TensorFlow reads the result with `tf.train.load_checkpoint` and restores from it.

    Args:
        prefix: path without suffix, for one `dir/model.ckpt`.
        tensors: values by variable name; any dtype with a TensorFlow counterpart.

    Raises:
        UnsupportedError: a value has a dtype that is no plain number.
        FileError: the place cannot be written.
    """
    prefix = Path(prefix)
    messages = _messages()
    header = messages["BundleHeaderProto"](num_shards=1)
    header.version.producer = 1
    pairs = [(b"", header.SerializeToString())]
    offset = 0
    with files.write_beside(f"{prefix}.data-00000-of-00001") as shard:
        for name in sorted(tensors, key=str.encode):
            value = np.asarray(tensors[name])
            data_type = DATA_TYPES.get(value.dtype.newbyteorder("<"))
            if data_type is None:
                raise UnsupportedError(f"{name!r}: a checkpoint cannot hold dtype {value.dtype}")
            raw = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
            entry = messages["BundleEntryProto"](
                dtype=data_type, offset=offset, size=len(raw), crc32c=masked_crc32c(raw)
            )
            entry.shape.SetInParent()
            for size in value.shape:
                entry.shape.dim.add(size=size)
            shard.write(raw)
            offset += len(raw)
            pairs.append((name.encode(), entry.SerializeToString()))
    files.write_bytes(f"{prefix}.index", sstable.write_table(pairs))
    state = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    files.write_bytes(prefix.parent / "checkpoint", state.encode())


@functools.cache
def _messages() -> dict[str, Any]:
    return protobuf.message_classes(
        "tensorflow.bundle",
        "proto3",
        {
            "BundleHeaderProto": [
                "int32 num_shards = 1",
                "int32 endianness = 2",
                "VersionDef version = 3",
            ],
            "VersionDef": ["int32 producer = 1", "int32 min_consumer = 2"],
            "BundleEntryProto": [
                "int32 dtype = 1",
                "Shape shape = 2",
                "int32 shard_id = 3",
                "int64 offset = 4",
                "int64 size = 5",
                "fixed32 crc32c = 6",
                "repeated Opaque slices = 7",
            ],
            "Shape": ["repeated Dim dim = 2"],
            "Dim": ["int64 size = 1"],
            "Opaque": [],
        },
    )
