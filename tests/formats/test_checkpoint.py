"""Checkpoints: what TensorFlow wrote is read, what we write reads back, damage is named."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flatshot.errors import ChecksumError, FileError, FormatError, UnsupportedError
from flatshot.formats import checkpoint, sstable
from flatshot.formats.checkpoint import Checkpoint, write_checkpoint
from flatshot.formats.graphdef import NUMPY_TYPES, DataType
from tests.formats.tensorflow_written import ONE, SLICED, TWO_SHARDS, V1, unpack

Array = npt.NDArray[Any]
EXPECTED: dict[str, Array] = {
    "float": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "bfloat16": np.array([1.0, -2.5, 3.140625], np.float32),
    "half": np.array([0.5, -65504], np.float16),
    "bool": np.array([True, False, True]),
    "int64": np.array(-(2**40), np.int64),
    "uint8": np.array([[0, 255]], np.uint8),
    "complex": np.array([1 - 2j], np.complex64),
    "empty": np.zeros((0, 4), np.float32),
    "strings": np.array([[b"", b"x" * 300], [b"a\0b", "é".encode()]], object),
    **{f"scope/layer_{i}/BatchNorm/moving_mean": np.array([i, -i], np.float32) for i in range(40)},
}
SAMPLE = {"a/w": EXPECTED["float"], "a/b": EXPECTED["int64"]}


def assert_same(got: Array, want: Array) -> None:
    """Equal in dtype, shape and every byte."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert (
        got.tolist() == want.tolist() if want.dtype == object else got.tobytes() == want.tobytes()
    )


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The prefix of a small checkpoint."""
    write_checkpoint(tmp_path / "model.ckpt", SAMPLE)
    return tmp_path / "model.ckpt"


def test_every_tensor_that_a_saver_of_tensorflow_wrote_is_read(tmp_path: Path) -> None:
    """Of nine element types, scalar and empty, under keys that share prefixes."""
    found = Checkpoint(unpack(ONE, tmp_path))
    assert list(found) == sorted(EXPECTED)
    for name, want in EXPECTED.items():
        assert found[name].shape == want.shape
        assert found[name].dtype == want.dtype
        assert_same(found.read(name), want)


def test_a_variable_is_read_from_its_shard_alone(tmp_path: Path) -> None:
    """TensorFlow wrote two; the index needs neither, a variable only its own."""
    prefix = unpack(TWO_SHARDS, tmp_path)
    second = tmp_path / "model.ckpt.data-00001-of-00002"
    second.unlink()
    found = Checkpoint(prefix)
    assert {name: v.shard for name, v in found.items()} == {"a": 0, "b": 1, "c": 0}
    assert found.read("a").tolist() == [1.0, 2.0]
    assert found.read("c").tolist() == [[3], [4]]
    with pytest.raises(FileError, match="data-00001-of-00002"):
        found.read("b")
    unpack(TWO_SHARDS, tmp_path)
    assert found.read("b").tolist() == [5.0, 6.0, 7.0]


def test_a_v1_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    """It says which version and what to do."""
    with pytest.raises(UnsupportedError, match=r"V1 format.*save it with tf\.train\.Saver"):
        Checkpoint(unpack(V1, tmp_path))


def test_a_sliced_variable_is_refused_by_name(tmp_path: Path) -> None:
    """A partitioned variable has no bytes of its own."""
    with pytest.raises(UnsupportedError, match="'whole' is saved in slices"):
        Checkpoint(unpack(SLICED, tmp_path))


def index_with(header: dict[str, Any], **entries: dict[str, Any]) -> bytes:
    """An index with these fields in its header and its entries."""
    messages = checkpoint._messages()
    made = messages["BundleHeaderProto"](**{"num_shards": 1, **header})
    pairs = [(b"", made.SerializeToString())]
    for name, fields in sorted(entries.items()):
        dims = fields.pop("dims", [])
        entry = messages["BundleEntryProto"](**fields)
        for size in dims:
            entry.shape.dim.add(size=size)
        pairs.append((name.encode(), entry.SerializeToString()))
    return sstable.write_table(pairs)


def test_a_big_endian_checkpoint_is_refused_by_name() -> None:
    """Its bytes would be read the wrong way round."""
    with pytest.raises(UnsupportedError, match="big-endian"):
        checkpoint.read_index(index_with({"endianness": 1}))


@pytest.mark.parametrize(
    ("header", "entry", "reason"),
    [
        ({"num_shards": 0}, {}, "claims 0 shards"),
        ({"num_shards": 2**31 - 1}, {}, "shards"),
        ({}, {"dtype": 99}, "unknown element type 99"),
        ({}, {"dtype": 20}, "DT_RESOURCE"),
        ({}, {"dtype": 1, "size": 4, "shard_id": 1}, "shard 1 of 1"),
        ({}, {"dtype": 1, "dims": [2**62, 2**62], "size": 4}, "cannot have shape"),
        ({}, {"dtype": 1, "dims": [0, 2**62, 2**62]}, "cannot have shape"),
        ({}, {"dtype": 7, "dims": [0, 2**62, 2**62]}, "cannot have shape"),
        ({}, {"dtype": 1, "dims": [1] * 40, "size": 4}, "40 dimensions"),
        ({}, {"dtype": 1, "dims": [-1]}, r"shape \[-1\]"),
        ({}, {"dtype": 1, "dims": [1], "size": 4, "offset": -1}, "offset -1"),
        ({}, {"dtype": 1, "dims": [3], "size": 8}, "8 bytes do not fill"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(
    header: dict[str, Any], entry: dict[str, Any], reason: str
) -> None:
    """Before any byte of a tensor is looked at."""
    with pytest.raises((FormatError, UnsupportedError), match=reason):
        checkpoint.read_index(index_with(header, v=dict(entry)))


def test_ten_gigabytes_claimed_in_a_small_index_are_not_allocated(sample: Path) -> None:
    """The shard ends before them, and the message says where."""
    fields = {"dtype": 1, "dims": [5, 2**29], "size": 10 * 2**30}
    Path(f"{sample}.index").write_bytes(index_with({}, big=fields))
    with pytest.raises(FormatError, match="it ends before the 10737418240 bytes of 'big'"):
        Checkpoint(sample).read("big")


def test_a_truncated_shard_names_variable_and_file(sample: Path) -> None:
    """And what to do."""
    shard = Path(f"{sample}.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"data-00000-of-00001: .*'a/w'.*copy the file again"):
        Checkpoint(sample).read("a/w")


def test_a_flipped_byte_of_each_tensor_names_variable_and_file(tmp_path: Path) -> None:
    """The checksum of every tensor is verified when it is read, strings included."""
    prefix = unpack(ONE, tmp_path)
    shard = tmp_path / "model.ckpt.data-00000-of-00001"
    sound = shard.read_bytes()
    for name, variable in Checkpoint(prefix).items():
        if variable.size:
            data = bytearray(sound)
            data[variable.offset + variable.size - 1] ^= 0x10
            shard.write_bytes(data)
            with pytest.raises(ChecksumError, match=rf"data-00000-of-00001: .*'{name}'"):
                Checkpoint(prefix).read(name)


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
dtypes = st.sampled_from([dtype for kind, dtype in NUMPY_TYPES.items() if kind in DataType])
arrays = dtypes.flatmap(
    lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
)


@given(st.dictionaries(names, arrays, max_size=24))
def test_what_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Array]
) -> None:
    """Any dtype, 0 to 4 dimensions, empty ones, any name, more than a restart interval of them."""
    prefix = tmp_path_factory.mktemp("written") / "model.ckpt"
    write_checkpoint(prefix, tensors)
    found = Checkpoint(prefix.parent)
    assert list(found) == sorted(tensors, key=str.encode)
    for name, value in tensors.items():
        assert_same(found.read(name), value)


def test_a_dtype_without_counterpart_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    """Not even the shard that had been begun."""
    with pytest.raises(UnsupportedError, match="'s': a checkpoint cannot hold dtype"):
        write_checkpoint(tmp_path / "model.ckpt", {"a": np.ones(3), "s": np.array(["text"])})
    assert list(tmp_path.iterdir()) == []


def test_tensorflow_reads_what_is_written(tmp_path: Path) -> None:
    """All dtypes, and more variables than a restart interval, through `load_checkpoint`."""
    tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow is the oracle here")
    rng = np.random.default_rng(3)
    wanted: dict[str, Array] = {
        f"scope_{i}/{dtype.name}": rng.integers(0, 2, (2, 1, 3)).astype(dtype)
        for dtype in NUMPY_TYPES.values()
        for i in range(3)
    }
    wanted |= {
        "scalar": np.array(7, np.int64),
        "empty": np.zeros((0, 4), np.float32),
        "é/ü": np.ones(2),
    }
    write_checkpoint(tmp_path / "model.ckpt", wanted)
    assert tensorflow.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt")
    reader = tensorflow.train.load_checkpoint(str(tmp_path))
    assert reader.get_variable_to_shape_map() == {n: list(v.shape) for n, v in wanted.items()}
    for name, value in wanted.items():
        assert_same(np.asarray(reader.get_tensor(name)), value)
