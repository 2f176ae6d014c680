"""The catalogue: ours is in order, wrong ones are refused by name, and tags are set algebra."""

import json
import re
from collections.abc import Set as AbstractSet
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import ConfigError, FormatError, PackageError
from flatshot.models.extractors import known_extractors
from flatshot.packages.catalogue import (
    Catalogue,
    load_catalogue,
    parse_query,
    read_catalogue,
    version_key,
)
from tests.packages.conftest import catalogue_json, entry_json, make_package, part_json

GOOD = part_json("https://example.org/file")
TAGS = st.sampled_from(["model", "ssd", "coco", "quantized", "tflite", "v1"])


@pytest.fixture(scope="module")
def ours() -> Catalogue:
    """The catalogue that comes with Flatshot, and nothing else."""
    return load_catalogue(Path("/nonexistent"))


def test_ours_holds_what_was_promised(ours: Catalogue) -> None:
    """The zoo's SSDs, the public packages, COCO, its labels and the demo are there."""
    assert {
        *("ssd-mobilenet-v1-coco", "ssd-mobilenet-v2-coco", "ssdlite-mobilenet-v2-coco"),
        *("ssd-mobilenet-v1-fpn-coco", "ssd-inception-v2-coco", "face-ssd-mobilenet-v1"),
        *("ssd-mobilenet-v1-coco-quantized-tflite", "ssd-mobilenet-v2-coco-frozen"),
        *("coco-2017-val", "coco-2014-val", "coco-labels", "demo-detector", "demo-scenes"),
    } <= set(ours.names)


def test_ours_tells_of_each_its_licence_source_and_kind(ours: Catalogue) -> None:
    """No entry leaves out where it is from and what may be done with it; its kind is a tag."""
    for package in ours.packages:
        assert package.licence
        assert package.source
        assert package.title
        assert package.kind in package.tags
        assert len(set(package.tags)) == len(package.tags)


def test_ours_tells_what_builds_of_each_checkpoint(ours: Catalogue) -> None:
    """Each model of both zoos, by the name of an extractor that there is."""
    checkpoints = [package for package in ours.packages if "checkpoint" in package.tags]
    assert len([package for package in checkpoints if "zoo" in package.tags]) == 21 + 18
    for package in checkpoints:
        assert package.builds in known_extractors(), package


def test_ours_has_a_hash_of_all_that_comes_from_a_registry(ours: Catalogue) -> None:
    """What pip and npm bring is never trusted on first use."""
    for package in ours.packages:
        for part in package.parts:
            if any(url.startswith(("pypi:", "npm:")) for url in part.urls):
                assert part.sha256, package
                assert part.bytes, package


def test_ours_names_no_registry() -> None:
    """Registries are reached through their own clients, by package name."""
    text = resources.files("flatshot.packages").joinpath("catalogue.json").read_text()
    hosts = set(re.findall(r"https?://([^/\"!]+)", text))
    assert hosts == {
        *("download.tensorflow.org", "images.cocodataset.org", "s3.amazonaws.com"),
        *("storage.googleapis.com", "zenodo.org"),
    }


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("model,tensorflow,mlperf,ssd-mobilenet,non-quantized", "ssd-mobilenet-v1-coco"),
        ("dataset,coco.2017,val", "coco-2017-val"),
        ("demo,model", "demo-detector"),
        ("model,tflite,mlperf", "ssd-mobilenet-v1-coco-tflite"),
    ],
)
def test_the_tags_of_the_original_find_one(ours: Catalogue, tags: str, name: str) -> None:
    """The original README's query is not ambiguous."""
    assert [package.name for package in ours.get(parse_query([tags]))] == [name]


def matches(wanted: AbstractSet[str], forbidden: AbstractSet[str], tags: AbstractSet[str]) -> bool:
    """The rule, said once more."""
    return all(tag in tags for tag in wanted) and not any(tag in tags for tag in forbidden)


@given(st.sets(TAGS), st.sets(TAGS), st.sets(TAGS))
def test_a_query_is_set_algebra(wanted: set[str], forbidden: set[str], tags: set[str]) -> None:
    """All wanted tags and none of the forbidden ones."""
    query = parse_query([*wanted, *(f"-{tag}" for tag in forbidden)])
    assert query.matches(tags) == matches(wanted, forbidden, tags)


@given(st.sets(TAGS), st.sets(TAGS), st.sets(TAGS))
def test_more_tags_find_less(first: set[str], more: set[str], tags: set[str]) -> None:
    """Adding a tag or a forbidden tag never adds a match."""
    both = parse_query([*first, *more])
    assert not both.matches(tags) or parse_query(first).matches(tags)
    without = parse_query([*first, *(f"-{tag}" for tag in more)])
    assert not without.matches(tags) or parse_query(first).matches(tags)


@given(st.lists(TAGS, max_size=4), st.lists(TAGS, max_size=4))
def test_commas_case_and_space_are_one(first: list[str], second: list[str]) -> None:
    """`a,b`, `a b` and ` A ,b` ask for the same."""
    loose = parse_query([f" {','.join(first).upper()} ,", *second])
    assert loose == parse_query(first + second)


def test_a_lone_dash_is_refused() -> None:
    """It forbids nothing."""
    with pytest.raises(ConfigError, match="forbids no tag"):
        parse_query(["a", "-"])


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ("ssd-mobilnet-v1", "'ssd-mobilnet-v1' is unknown, ssd-mobilenet-v1 "),
        ("zzz", "'zzz' is unknown; `flatshot find` lists all"),
        ("face,dataset", "the nearest is .* which lacks"),
        ("demo-detector,-demo", "the nearest is demo-detector, which has demo"),
    ],
)
def test_a_miss_says_what_is_close(ours: Catalogue, tags: str, says: str) -> None:
    """Close words, or the nearest package and what keeps it from matching."""
    with pytest.raises(PackageError, match=says):
        ours.get(parse_query([tags]))


def test_versions_sort_by_their_numbers() -> None:
    """1.13 comes after 1.9, and a release after its candidate."""
    versions = ["1.9", "1.13.1", "1.13", "2.0rc1", "0.75"]
    assert sorted(versions, key=version_key) == ["0.75", "1.9", "1.13", "1.13.1", "2.0rc1"]


def test_the_menu_s_order(ours: Catalogue) -> None:
    """Later versions first, then names."""
    packages = [make_package(GOOD, name=n, version=v) for n, v in
                (("b", "1.9"), ("c", "1.13"), ("a", "1.9"))]  # fmt: skip
    assert [package.name for package in Catalogue(packages).packages] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"licens": "MIT"}, r"unknown field 'licens' \(is 'licence' meant\?\)"),
        ({"name": "Has Space"}, "name 'Has Space'"),
        ({"name": "../up"}, "name '../up'"),
        ({"version": "1/2"}, "version '1/2'"),
        ({"kind": "song"}, "kind 'song'"),
        ({"tags": ["UP"]}, "tag 'UP'"),
        ({"tags": ["-no"]}, "tag '-no'"),
        ({"tags": [1]}, "tags must be texts"),
        ({"tags": "a,b"}, "tags must be of type list"),
        ({"exports": {"lower": "1"}}, "'lower' is no variable"),
        ({"exports": {"X": "./../../etc"}}, "without '..'"),
        ({"exports": {"X": 1}}, "exports must be texts"),
        ({"path": "/etc/passwd"}, "relative path"),
        ({"path": "a/../../b"}, "without '..'"),
        ({"path": ""}, "relative path"),
        ({"parts": []}, "no parts"),
        ({"parts": [{"urls": ["https://a.org/b"]}]}, "to missing"),
        ({"parts": ["x"]}, "must be an object"),
        ({"parts": [GOOD, GOOD]}, "two parts go to one place"),
        ({"parts": [part_json()]}, "no urls"),
        ({"parts": [part_json("ftp://a.org/b")]}, "unknown scheme 'ftp'"),
        ({"parts": [part_json("http://a.org/b")]}, "not https"),
        ({"parts": [part_json("https://a.org/b", sha256="abc")]}, "64 digits"),
        ({"parts": [part_json("https://a.org/b", bytes=-1)]}, "count from 0"),
        ({"parts": [part_json("https://a.org/b", bytes=True)]}, "bytes must be of type int"),
        ({"parts": [part_json("https://a.org/b", strip=1)]}, "for what is unpacked"),
        ({"parts": [part_json("https://a.org/b", to="../x")]}, "without '..'"),
        ({"parts": [part_json("builtin:x", sha256="0" * 64)]}, "has no sha256"),
    ],
)
def test_a_wrong_entry_is_named(change: dict[str, Any], says: str) -> None:
    """Each mistake is refused with the file, the entry and what is wrong."""
    with pytest.raises(FormatError, match=says) as caught:
        read_catalogue(catalogue_json({**entry_json(GOOD), **change}), "mine.json")
    assert str(caught.value).startswith("mine.json: package 1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "must be an object"),
        (b'{"format": 1}', "packages missing"),
        (b'{"format": 2, "packages": []}', "format 2; this Flatshot reads 1"),
        (catalogue_json(entry_json(GOOD), entry_json(GOOD)), "stands there twice"),
    ],
)
def test_what_is_no_catalogue(data: bytes, says: str) -> None:
    """The file is named."""
    with pytest.raises(FormatError, match=says):
        read_catalogue(data, "mine.json")


def test_the_user_s_own_files(tmp_path: Path) -> None:
    """They add entries, and replace ours of the same name and version."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    replaced = entry_json(GOOD, name="demo-detector", version="1", title="mine")
    (folder / "a.json").write_bytes(catalogue_json(entry_json(GOOD), replaced))
    names = load_catalogue(tmp_path).names
    assert "thing" in names
    assert [package.title for package in names["demo-detector"]] == ["mine"]
    (folder / "b.json").write_bytes(catalogue_json(entry_json(GOOD)))
    with pytest.raises(FormatError, match=r"b\.json: thing 1\.0 stands in .*a\.json too"):
        load_catalogue(tmp_path)


def test_an_entry_goes_through_json(ours: Catalogue) -> None:
    """What `find --json` prints is what a catalogue holds."""
    for package in ours.packages:
        entry = json.loads(json.dumps(package.to_json()))
        for part in entry["parts"]:
            for field in [name for name, value in part.items() if value is None]:
                del part[field]
            if not part["unpack"]:
                del part["strip"], part["only"]
            if part["urls"][0].startswith("builtin:"):
                part.pop("sha256", None)
        assert read_catalogue(catalogue_json(entry), "again") == [package]
