"""The pages: every figure can be read back, strangers' words stay words, nothing is loaded."""

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest

from flatshot.errors import ConfigError, RecordError
from flatshot.report.figures import FIGURES
from flatshot.report.page import report
from tests.report.studies import found_boxes, study, write_set

HOSTILE = ["<script>alert(1)</script>", "a & b", '"quoted" name', "x" * 300]


class Reader(html.parser.HTMLParser):
    """The tags of a page, and its rows as their first words with the `data` values in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str, list[float]]] = []
        self._in_head = self._in_row = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and the value that it gives."""
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "tr":
            self.rows.append(("", []))
            self._in_row = True
        if tag == "th":
            self._in_head = True
        if tag == "data" and self._in_row:
            self.rows[-1][1].append(float(given["value"] or "nan"))

    def handle_endtag(self, tag: str) -> None:
        """A head or a row has ended."""
        self._in_head = self._in_head and tag != "th"
        self._in_row = self._in_row and tag != "tr"

    def handle_data(self, data: str) -> None:
        """Words of the first cell."""
        if self._in_head:
            name, numbers = self.rows[-1]
            self.rows[-1] = (name + data, numbers)

    def row(self, beginning: str) -> list[float]:
        """The values of the row that begins so."""
        return next(numbers for name, numbers in self.rows if name.strip().startswith(beginning))


def test_figures_can_be_read_back(tmp_path: Path) -> None:
    """Each of the figures on the page is the record's, to the last digit, inside its interval."""
    dataset = write_set(tmp_path, ["cat", "dog", "bird"])
    run = study(dataset, found_boxes(dataset))
    reader = Reader(report([run]))
    metrics = dict(zip(FIGURES, run.content["metrics"].values(), strict=True))
    for key in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100"):
        value, lower, upper = reader.row(FIGURES[key][0])
        assert value == metrics[key]
        assert lower < upper
    for key, name in (("APl", "large"), ("APm", "medium"), ("APs", "small")):
        assert metrics[key] in reader.row(f"{name} (")


def test_classes_can_be_read_back(tmp_path: Path) -> None:
    """AP of each class is that of the figures' own arrays."""
    from flatshot.evaluation.metrics import score

    dataset = write_set(tmp_path, ["cat", "dog", "bird"])
    found = found_boxes(dataset)
    scores = score(dataset.truth, dataset.categories, [i.id for i in dataset.images], found)
    reader = Reader(report([study(dataset, found)]))
    for identity, name in dataset.categories.items():
        assert reader.row(name)[1] == pytest.approx(scores.per_class[identity], abs=1e-15)


def test_differences_can_be_read_back(tmp_path: Path) -> None:
    """The page of two runs gives each figure of the first, of the other, and the difference."""
    dataset = write_set(tmp_path, ["cat", "dog"])
    runs = [
        study(dataset, found_boxes(dataset, keep, seed), name)
        for keep, seed, name in ((0.9, 1, "one"), (0.3, 2, "two"))
    ]
    reader = Reader(report(runs))
    tables = [dict(zip(FIGURES, run.content["metrics"].values(), strict=True)) for run in runs]
    for key, (name, _) in FIGURES.items():
        one, two, points, lower, upper = reader.row(name)
        assert (one, two) == pytest.approx((tables[0][key], tables[1][key]), abs=1e-15)
        assert points == pytest.approx(100 * (two - one), abs=1e-9)
        assert lower <= upper
    assert "one" in report(runs)


def test_names_of_strangers_are_text(tmp_path: Path) -> None:
    """Class names, licences and models do not become tags, and addresses of no web no links."""
    dataset = write_set(tmp_path, HOSTILE)
    run = study(dataset, found_boxes(dataset), "<img src=x onerror=alert(1)>.tflite")
    for page in (report([run]), report([run, study(dataset, found_boxes(dataset, 0.2), "b")])):
        tags = [tag for tag, _ in Reader(page).tags]
        assert tags.count("script") == 1
        assert "img" not in tags
        assert "javascript:" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_nothing_is_loaded(tmp_path: Path) -> None:
    """The page names no address to load from; its policy forbids it all the same."""
    dataset = write_set(tmp_path, ["cat", "dog"])
    page = report([study(dataset, found_boxes(dataset))])
    for tag, attrs in Reader(page).tags:
        for name in ("src", "href"):
            value = attrs.get(name) or ""
            assert tag == "a" or (value.startswith(("data:", "#", "")) and "//" not in value[:12])
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_every_section_is_in_the_contents(tmp_path: Path) -> None:
    """Each section is linked once, by an id that exists once."""
    dataset = write_set(tmp_path, ["cat", "dog"])
    page = report([study(dataset, found_boxes(dataset))])
    targets = re.findall(r'<li><a href="#([a-z]+)"', page)
    assert targets == re.findall(r'<section id="([a-z]+)"', page)
    assert len(targets) >= 12


@pytest.mark.parametrize("names", [["only"], [f"class {n}" for n in range(200)]])
def test_few_and_many_classes(tmp_path: Path, names: list[str]) -> None:
    """One class has no confusions; two hundred have a page all the same."""
    dataset = write_set(tmp_path, names)
    page = report([study(dataset, found_boxes(dataset))])
    assert ('id="confusions"' in page) == (len(names) > 1)


def test_no_boxes_at_all(tmp_path: Path) -> None:
    """A run that found nothing is told as such, without sections that need boxes."""
    dataset = write_set(tmp_path, ["cat", "dog"])
    page = report([study(dataset, np.zeros((0, 7)))])
    assert "draws no right box" in page
    assert 'id="threshold"' not in page
    assert 'id="classes"' in page


def test_images_that_are_gone(tmp_path: Path) -> None:
    """Without its photographs the page has its figures still."""
    dataset = write_set(tmp_path, ["cat", "dog"])
    run = study(dataset, found_boxes(dataset))
    for image in dataset.images:
        image.path.unlink()
    page = report([run])
    assert 'id="gallery"' not in page
    assert 'id="figures"' in page


def test_other_images_are_refused(tmp_path: Path) -> None:
    """Runs of different data sets cannot be compared, nor one shown on another's images."""
    one, two = (write_set(tmp_path / n, ["cat", "dog"], images=k) for n, k in (("a", 8), ("b", 6)))
    runs = [study(one, found_boxes(one)), study(two, found_boxes(two))]
    with pytest.raises(RecordError, match="different images"):
        report(runs)
    wrong = study(one, found_boxes(one), dataset_sha256="0" * 64)
    with pytest.raises(RecordError, match="--dataset"):
        report([wrong])
    with pytest.raises(ConfigError):
        report([])
