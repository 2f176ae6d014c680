"""The page's server under attack: other hosts, other pages, too much, nonsense."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flatshot.evaluation.dataset import CocoDataset
from flatshot.runtime.detector import Detector

testclient = pytest.importorskip("starlette.testclient", reason="needs the extra 'serve'")

from flatshot.serve.app import MAX_BYTES, make_app  # noqa: E402
from flatshot.serve.tryout import Tryout  # noqa: E402
from tests.evaluation.conftest import write_dataset  # noqa: E402

PORT = 8321
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def client(detector: Detector, tmp_path: Path) -> Iterator[Any]:
    """A page with one model and six images."""
    dataset = CocoDataset(write_dataset(tmp_path / "set"))
    tryout = Tryout({"tiny": detector}, dataset)
    with testclient.TestClient(make_app(tryout, PORT), base_url=HERE) as client:
        yield client


def test_the_page_and_its_parts(client: Any) -> None:
    """Three files, with a policy that lets the page load nothing from elsewhere."""
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/java")):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/about").json()["images"] == 6


def test_look_and_find(client: Any, photograph: bytes) -> None:
    """A photograph, then other settings."""
    answer = client.post("/look", content=photograph, headers={"origin": HERE}).json()
    question = {"image": answer["image"], "settings": {"max_detections": 2}}
    found = client.post("/find", json=question).json()
    assert len(found["models"][0]["detections"]) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1.evil.example:8321"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/about", "/dataset/0", "/look"])
def test_others_are_refused(client: Any, headers: dict[str, str], status: int, path: str) -> None:
    """Another name of this address, another page: neither reads nor runs anything."""
    method = "POST" if path == "/look" else "GET"
    assert client.request(method, path, headers=headers).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/dataset/6",
        "/dataset/99999999999999999999",
        "/dataset/../annotations/instances_grey.json",
        "/dataset/..%2fannotations%2finstances_grey.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/page.html",
        "/etc/passwd",
    ],
)
def test_no_other_file_is_given_out(client: Any, path: str) -> None:
    """Images of the data set by their place, and nothing else."""
    assert client.get(path).status_code in (400, 404)


def test_an_image_of_the_data_set(client: Any) -> None:
    """Its bytes, as nothing that a browser would run."""
    answer = client.get("/dataset/0")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.startswith(b"\x89PNG")


def test_too_much_is_refused(client: Any) -> None:
    """One byte over the bound, told by its length or only as it comes."""

    def drip() -> Iterator[bytes]:
        for _ in range(MAX_BYTES // 1_000_000 + 1):
            yield bytes(1_000_000)

    assert client.post("/look", content=bytes(MAX_BYTES + 1)).status_code == 413
    assert client.post("/look", content=drip()).status_code == 413
    assert client.post("/find", content=b" " * 10_000).status_code == 413


@pytest.mark.parametrize(
    "content", [b"", b"%!PS-Adobe-3.0\n{} loop", b"GIF89a", b"<svg/>", b"\xff\xd8\xff\xe0" * 100]
)
def test_what_is_no_photograph(client: Any, content: bytes) -> None:
    """One line that says so."""
    answer = client.post("/look", content=content)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"[" * 2000, b'{"image": "1", "settings": {}}', b'{"image": 1}', b"\xff"],
)
def test_questions_that_are_none(client: Any, content: bytes) -> None:
    """Whatever they are, an answer."""
    assert client.post("/find", content=content).status_code == 400


def test_a_model_that_fails(photograph: bytes, detector: Detector) -> None:
    """Its error stands in its place; a fault of ours is told without a traceback."""
    from flatshot.errors import ModelError

    class Failing:
        input_shape, settings, postprocess = (1, 96, 96, 3), detector.settings, "numpy"
        load = staticmethod(detector.load)
        prepare = staticmethod(detector.prepare)

        def __init__(self, error: Exception) -> None:
            self.error = error

        def network(self, prepared: object) -> None:
            raise self.error

    for error, status in ((ModelError("it fails"), 200), (ZeroDivisionError("secret"), 500)):
        tryout = Tryout({"good": detector, "bad": Failing(error)})  # type: ignore[dict-item]
        with testclient.TestClient(make_app(tryout, PORT), base_url=HERE) as client:
            answer = client.post("/look", content=photograph)
            assert answer.status_code == status
            assert "secret" not in answer.text
            if status == 200:
                assert answer.json()["models"][1]["error"] == "it fails"
                assert answer.json()["models"][0]["detections"]
