"""`flatshot records`: list, show, compare, export and delete recorded runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.json_output import json_option, write_json
from flatshot.cli.terminal import can_ask, visible
from flatshot.errors import ConfigError, FlatshotError

if TYPE_CHECKING:
    from flatshot.records.difference import Row
    from flatshot.records.record import Record
    from flatshot.records.store import Records


@click.group("records")
def command() -> None:
    """List, show, compare, export and delete recorded runs.

    A RECORD is a uid, a unique beginning of one (4 digits or more), or a name that only one has.
    """


@command.command("list")
@click.option("--tags", default="", help="a,b,-c: all of a and b, and not c.")
@click.option("--name", help="Only records of this name (--record-uoa).")
@click.option("--repo", help="Only records of this repository.")
@json_option
def list_records(tags: str, name: str | None, repo: str | None, json_file: str | None) -> None:
    """List the records, oldest first."""
    from flatshot.records.store import Records

    with Records() as store:
        found = store.find([tag for tag in tags.split(",") if tag.strip()], name=name, repo=repo)
    write_json(json_file, [record.to_json() for record in found])
    if json_file == "-":
        return
    table: list[tuple[str, ...]] = [("uid", "created", "name", "mAP", "recall", "images", "tags")]
    table += [
        (
            record.uid,
            record.created[:19],
            record.name or "-",
            *(_shown(record.content.get(key)) for key in ("mAP", "recall", "images")),
            ",".join(record.tags) or "-",
        )
        for record in found
    ]
    click.echo(_table(table) if found else "no records")


@command.command("show")
@click.argument("record")
@json_option
def show(record: str, json_file: str | None) -> None:
    """Show everything that RECORD holds."""
    from flatshot.records.difference import difference
    from flatshot.records.store import Records

    with Records() as store:
        found = store.get(record)
    write_json(json_file, found.to_json())
    if json_file == "-":
        return
    click.echo(_title(found))
    rows = difference([found], everything=True)
    click.echo(_table([(row.key, _shown(row.values[0])) for row in rows.settings + rows.figures]))
    for kind, sha256 in found.artefacts.items():
        click.echo(visible(f"keeps {kind}, sha256 {sha256}"))


@command.command("compare")
@click.argument("records", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Show what is equal as well.")
@json_option
def compare(records: tuple[str, ...], everything: bool, json_file: str | None) -> None:
    """Show what differs between RECORDS, side by side: settings first, then figures."""
    from flatshot.records.difference import difference
    from flatshot.records.store import Records

    if len(records) < 2:
        raise click.UsageError("compare needs two records or more")
    with Records() as store:
        found = [store.get(key) for key in records]
        verdicts = _verdicts(found, store)
    both = difference(found, everything=everything)
    write_json(
        json_file,
        {
            "records": [record.uid for record in found],
            "settings": [_row_json(row) for row in both.settings],
            "figures": [_row_json(row) for row in both.figures],
            "verdicts": [verdict for _, verdict in verdicts],
        },
    )
    if json_file == "-":
        return
    for record in found:
        click.echo(_title(record))
    for title, rows in (("settings", both.settings), ("figures", both.figures)):
        click.echo("")
        if not rows:
            click.echo(f"{title}: no difference")
            continue
        heading = (title, *(record.uid[:8] for record in found), "change")
        body = [(row.key, *map(_shown, row.values), _change(row)) for row in rows]
        click.echo(_table([heading, *body]))
    click.echo("")
    for line, _ in verdicts:
        click.echo(visible(line))


@command.command("export")
@click.argument("record")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--detections", is_flag=True, help="Add the detections as COCO results.")
def export(record: str, file: str, detections: bool) -> None:
    """Write RECORD to FILE as JSON; - is stdout."""
    from flatshot.records.store import Records

    with Records() as store:
        found = store.get(record)
        content = found.to_json()
        if detections:
            content["coco_results"] = [
                {
                    "image_id": int(row[0]),
                    "category_id": int(row[6]),
                    "bbox": row[1:5],
                    "score": row[5],
                }
                for row in store.detections(found).tolist()
            ]
    write_json(file, content)


@command.command("delete")
@click.argument("records", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(records: tuple[str, ...], yes: bool) -> None:
    """Delete RECORDS, and artefacts that no other record shares."""
    from flatshot.records.store import Records

    with Records() as store:
        found = {one.uid: one for one in (store.get(key) for key in records)}
        if not yes:
            if not can_ask():
                raise ConfigError("deleting records needs --yes where there is no terminal to ask")
            for record in found.values():
                click.echo(_title(record), err=True)
            click.confirm(f"delete {len(found)} of the records?", abort=True, err=True)
        for uid in found:
            store.delete(uid)
            click.echo(f"deleted {uid}")


def _verdicts(
    found: Sequence["Record"], store: "Records"
) -> list[tuple[str, dict[str, Any] | None]]:
    """What each record changes against the first, with its interval, in words and as JSON."""
    from flatshot.report.figures import differences
    from flatshot.report.sources import load_studies

    told: list[tuple[str, dict[str, Any] | None]] = []
    for record in found[1:]:
        names = f"{record.uid[:8]} against {found[0].uid[:8]}"
        same = ("dataset_sha256", "images")
        if any(found[0].content.get(key) != record.content.get(key) for key in same):
            told.append((f"{names}: no verdict: they were measured on other images", None))
            continue
        try:
            base, other = load_studies([found[0].uid, record.uid], store)
            ap = differences(base, other)["AP"]
        except FlatshotError as error:
            told.append((f"{names}: no verdict: {error}", None))
            continue
        shown = "a difference" if ap.shown else "no difference shown"
        low, high, change = (f"{100 * one:+.1f}" for one in (ap.lower, ap.upper, ap.value))
        line = f"{names}: {change} AP, 95 % interval {low} .. {high}: {shown}"
        values = {"change": ap.value, "lower": ap.lower, "upper": ap.upper, "shown": ap.shown}
        told.append((line, {"record": record.uid, **values}))
    return told


def _title(record: "Record") -> str:
    tags = f" [{','.join(record.tags)}]" if record.tags else ""
    name = record.name or "-"
    return visible(f"{record.uid} {name} ({record.repo}, {record.created[:19]} UTC){tags}")


def _row_json(row: "Row") -> dict[str, Any]:
    return {"key": row.key, "values": list(row.values), "change": row.change}


def _change(row: "Row") -> str:
    return "" if row.change is None else f"{row.change:+.6g}"


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[Sequence[str]]) -> str:
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
