"""`flatshot report`: records and results as one HTML page."""

import click

from flatshot.cli.places import place


@click.command("report")
@click.argument("results", nargs=-1, required=True, metavar="RECORD|RESULT.json...")
@click.option("-o", "--output", default="report.html", show_default=True, help="The page to write.")
@click.option("--dataset", callback=place, help="The data set, where it is no longer in its place.")
@click.option("--annotations", help="Its annotation file, where there are several.")
@click.option("--images", help="Its image folder, where it is not found by itself.")
@click.option("--detections", help="COCO results: the detections of a result that kept none.")
def command(
    results: tuple[str, ...],
    output: str,
    dataset: str | None,
    annotations: str | None,
    images: str | None,
    detections: str | None,
) -> None:
    r"""Write one self-contained HTML page about runs; several are held against the first.

    A RECORD is what `flatshot benchmark --record` kept (uid, beginning of one, or name), a
    RESULT.json what `benchmark --json` or `records export --detections` wrote.

    \b
    flatshot report 1f3a -o report.html
    flatshot report regular fast -o comparison.html
    """
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.formats.files import check_target
    from flatshot.records.store import Records
    from flatshot.report.page import write_report
    from flatshot.report.sources import load_studies

    if (annotations or images) and not dataset:
        raise click.UsageError("--annotations and --images are parts of --dataset: add it")
    check_target(output)
    given = CocoDataset(dataset, annotations, images) if dataset else None
    with Records() as store:
        studies = load_studies(results, store, dataset=given, detections=detections)
    page = write_report(output, studies)
    click.echo(f"{page}: {page.stat().st_size / 1e6:.1f} MB", err=True)
