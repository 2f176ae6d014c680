"""Which category of the data set each class of a model is: by its number, or by its name.

The Object Detection API numbers categories from 1 in the order of its label map, and a model's
class is one less. Exports of annotation tools number from 0, or by the alphabet: figures by number
are then near 0 for a good model. Where names are known on both sides they decide.
"""

import logging
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError
from flatshot.runtime.labels import Labels

_log = logging.getLogger("flatshot")

By = Literal["auto", "number", "name", "order"]
BY: tuple[By, ...] = ("auto", "number", "name", "order")

# Names of COCO's categories in VOC's, Darknet's and other lists.
_SAME = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
    "television": "tv",
    "mobilephone": "cellphone",
    "doughnut": "donut",
    "hairdryer": "hairdrier",
}
# Ids that end below this part of the model's classes are hardly numbered by the same label map.
_ENOUGH = 0.9


@dataclass(frozen=True)
class Matching:
    """The categories of a model's classes.

    Attributes:
        by: what decided: "number" (class + 1 is the category's id), "name", or "order" (class i is
            the i-th category by rising id).
        categories: class -> category id; None stands for class + 1.
    """

    by: By = "number"
    categories: Mapping[int, int] | None = None

    def of(self, classes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """The category ids of classes (n,), -1 where a class has none."""
        if self.categories is None:
            return classes.astype(np.int64) + 1
        table = self.categories
        return np.array([table.get(int(one), -1) for one in classes.ravel()], np.int64)


def match(
    labels: Labels | None,
    classes: int,
    categories: Mapping[int, str],
    used: npt.ArrayLike,
    by: By = "auto",
) -> Matching:
    """The categories of a model's classes; what is doubtful about them is said aloud.

    Args:
        labels: the model's names of classes, if they are known.
        classes: how many classes the model has.
        categories: the data set's, id -> name.
        used: ids of categories that objects have.
        by: "auto" matches by name where names are known on both sides and the numbers contradict
            them, else by number.

    Raises:
        ConfigError: there is no such way, or no names to match by.
    """
    if by not in BY:
        raise ConfigError(f"categories is {by!r}; there are {', '.join(BY)}")
    if by == "order":
        return Matching("order", dict(enumerate(sorted(categories))))
    named = {} if labels is None else dict(labels.names)
    table = _by_name(named, categories, {int(one) for one in np.unique(np.asarray(used, int))})
    agree = sum(1 for index, identity in table.items() if identity == index + 1)
    if by == "name" and not table:
        raise ConfigError(
            "categories cannot be matched by name: "
            + ("the model has no names; give --labels" if labels is None else "no name is in both")
        )
    contradicted = [
        index
        for index, name in named.items()
        if index + 1 in categories and _key(name) != _key(categories[index + 1])
    ]
    if by == "name" or (by == "auto" and len(table) > agree):
        _report_names(table, named, categories)
        return Matching("name", table)
    if contradicted:
        _report_other_names(contradicted, named, categories)
    elif not agree:
        _report_numbers(classes, categories, set(np.unique(np.asarray(used, int)).tolist()))
    return Matching()


def _by_name(
    named: Mapping[int, str], categories: Mapping[int, str], used: set[int]
) -> dict[int, int]:
    """Class -> category of the same name; of several such, the one that objects have."""
    places: dict[str, int] = {}
    for identity, name in sorted(categories.items()):
        key = _key(name)
        if key not in places or (identity in used and places[key] not in used):
            places[key] = identity
    return {index: places[_key(name)] for index, name in named.items() if _key(name) in places}


def _key(name: str) -> str:
    """A name without its case, spaces and signs, in the spelling of COCO's list."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    letters = "".join(letter for letter in plain if letter.isalnum()) or plain.strip()
    return _SAME.get(letters, letters)


def _report_names(
    table: Mapping[int, int], named: Mapping[int, str], categories: Mapping[int, str]
) -> None:
    moved = [index for index, identity in sorted(table.items()) if identity != index + 1]
    if moved:
        _log.warning(
            "categories are matched by name, for the data set numbers them otherwise (class %d %r "
            "is category %d): %d of the model's %d names are in the data set",
            *(moved[0], named[moved[0]], table[moved[0]], len(table), len(named)),
        )
    without = [name for identity, name in categories.items() if identity not in table.values()]
    if without:
        _log.warning(
            "%d of the %d categories are no class of the model, whose objects count as missed "
            "(first: %r)",
            *(len(without), len(categories), without[0]),
        )


def _report_other_names(
    other: list[int], named: Mapping[int, str], categories: Mapping[int, str]
) -> None:
    both = sum(1 for index in named if index + 1 in categories)
    first = other[0]
    _log.warning(
        "%d of %d classes have another name in the data set (%r is %r there): the figures compare "
        "numbers, not names; categories='name' (--categories name) compares names",
        *(len(other), both, named[first], categories[first + 1]),
    )


def _report_numbers(classes: int, categories: Mapping[int, str], used: set[int]) -> None:
    """Say so where the numbers cannot be those of the model's classes, for names are not known."""
    advice = "give the model's names (--labels), or --categories order where both have one order"
    last = max(categories)
    if 0 in used:
        _log.warning(
            "the data set numbers its categories from 0 (%r), a model's classes from 1: the "
            "figures compare the wrong ones; %s",
            *(categories[0], advice),
        )
    elif last > classes:
        _log.warning(
            "category ids go up to %d and the model has %d classes: those beyond are never found; "
            "%s",
            *(last, classes, advice),
        )
    elif last < _ENOUGH * classes:
        _log.warning(
            "category ids end at %d and the model has %d classes: they may be numbered otherwise; "
            "%s",
            *(last, classes, advice),
        )
