"""What stands in the way of building a configuration, gathered so that all of it is told at once.

A refusal that names one obstacle sends its reader to the next; and advice to remove a field that
changes the network gives another network than the one that was trained. So: all reasons, in the
order in which they weigh, and no such advice.
"""

from typing import Any

from flatshot.errors import ConfigError, UnsupportedError

# Float32 values beyond these would make infinities of what is computed from them.
SMALLEST, LARGEST = 1e-6, 1e6

# Far beyond any detector, and little enough that shapes made of it cannot overflow.
MOST_CHANNELS = 2**16


class Problems:
    """Reasons why a configuration cannot be built, in the order in which they are found."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._unsupported = False

    def refuse(self, text: str) -> None:
        """Note something that is valid and is not built."""
        self._unsupported = True
        self._texts.append(text)

    def require(self, condition: bool, text: str) -> bool:
        """Note `text`, a value that cannot be, unless `condition` holds; give `condition`."""
        if not condition:
            self._texts.append(text)
        return condition

    def refuse_fields(self, where: str, message: Any, **harmless: Any) -> None:
        """Refuse each field of `message` that is set to something else than its harmless value.

        Args:
            where: the path of `message`.
            message: a protobuf message.
            harmless: the values by field; None for a message, which is never harmless.
        """
        for field, value in harmless.items():
            is_set = message.HasField(field)
            if is_set and (value is None or getattr(message, field) != value):
                self.refuse(f"{where}.{field} changes the network and is not built yet")

    def report(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            UnsupportedError: something is valid and is not built.
            ConfigError: values cannot be, and nothing is unsupported.
        """
        if self._texts:
            kind = UnsupportedError if self._unsupported else ConfigError
            raise kind("; ".join(self._texts))


def enum_name(message: Any, field: str) -> Any:
    """The name of the value of an enumeration."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    return enum.values_by_number[getattr(message, field)].name
