"""Plain tables: columns that line up, in a terminal or a pipe."""

from collections.abc import Sequence

from flatshot.cli.terminal import visible


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """The lines of a table; the columns numbered in `right` are set flush right."""
    cells = [list(map(visible, row)) for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        line = "  ".join(
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        )
        lines.append(line.rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def pairs(items: Sequence[tuple[str, str]]) -> str:
    """Titles and what stands for each, one a line."""
    items = [(visible(title), visible(text)) for title, text in items]
    width = max((len(title) for title, _ in items), default=0)
    return "\n".join(f"{title.ljust(width)}  {text}".rstrip() for title, text in items)
