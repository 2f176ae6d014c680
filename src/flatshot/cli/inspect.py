"""`flatshot inspect`: what a model, a graph, a checkpoint or a configuration holds."""

import click

from flatshot.cli.json_output import check_json, json_option, write_json
from flatshot.cli.places import place
from flatshot.cli.tables import pairs, table
from flatshot.compiler.toco_log import format_ops
from flatshot.inspection.inspect import Inspection, TensorInfo, as_json, inspect


@click.command()
@click.argument("file", callback=place)
@click.option("--operators", is_flag=True, help="list the operators one by one, with their cost")
@click.option("--tensors", is_flag=True, help="list the tensors or variables one by one")
@json_option
def command(file: str, operators: bool, tensors: bool, json_file: str | None) -> None:
    """Say what FILE is: a .tflite, .pb, .pbtxt, pipeline.config, or a checkpoint's place."""
    check_json(json_file)
    inspection = inspect(file)
    write_json(json_file, as_json(inspection))
    if json_file == "-":
        return
    click.echo(pairs(_facts(inspection)))
    if inspection.postprocess:
        click.echo("\nPost-processing")
        options = [(f"  {name}", _option(value)) for name, value in inspection.postprocess.items()]
        click.echo(pairs(options))
    if inspection.operators and not operators:
        click.echo("\nOperators")
        click.echo(_operator_counts(inspection))
    elif operators:
        click.echo("\n" + _operator_list(inspection))
    if tensors:
        click.echo("\n" + _tensor_list(inspection.tensors))


def _facts(inspection: Inspection) -> list[tuple[str, str]]:
    items = [("file", inspection.path), ("is", inspection.kind)]
    items += [("input", _tensor(tensor)) for tensor in inspection.inputs]
    items += [("output", _tensor(tensor)) for tensor in inspection.outputs]
    if inspection.operators:
        items.append(("operators", f"{len(inspection.operators):,}"))
        items.append(("tensors", f"{len(inspection.tensors):,}"))
    if inspection.parameters is not None:
        items.append(("parameters", f"{inspection.parameters:,}"))
    if inspection.bytes is not None:
        items.append(("constants", f"{inspection.bytes:,} bytes"))
    if inspection.arithmetic_ops is not None:
        cost = f"{format_ops(inspection.arithmetic_ops)} (a multiply-add is 2)"
        items.append(("arithmetic ops", cost))
    if inspection.peak_memory is not None:
        items.append(("peak memory", f"{inspection.peak_memory:,} bytes of intermediate results"))
    return items + list(inspection.facts.items())


def _tensor(tensor: TensorInfo) -> str:
    shape = _shape(tensor.shape)
    return f"{tensor.name}  {tensor.dtype}{shape}  {tensor.quantization}".rstrip()


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]" if shape else ""


def _option(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _operator_counts(inspection: Inspection) -> str:
    costs: dict[str, int] = {}
    for operator in inspection.operators:
        costs[operator.name] = costs.get(operator.name, 0) + operator.arithmetic_ops
    total = sum(costs.values())
    rows = [
        [name, str(count), format_ops(costs[name]), f"{100 * costs[name] / total:.1f} %"]
        if total
        else [name, str(count)]
        for name, count in inspection.operator_counts.items()
    ]
    header = ["operator", "count", "arithmetic ops", "share"]
    return table(header if total else header[:2], rows, right=(1, 2, 3))


def _operator_list(inspection: Inspection) -> str:
    rows = [
        [
            str(number),
            operator.name,
            " ".join(map(_shape, operator.inputs[:1])),
            " ".join(map(_shape, operator.outputs[:1])),
            format_ops(operator.arithmetic_ops),
            operator.output,
        ]
        for number, operator in enumerate(inspection.operators)
    ]
    header = ["#", "operator", "reads", "makes", "arithmetic ops", "called"]
    return table(header, rows, right=(0, 4))


def _tensor_list(tensors: tuple[TensorInfo, ...]) -> str:
    rows = [
        [t.dtype, _shape(t.shape), f"{t.bytes:,}" if t.bytes else "", t.name, t.quantization]
        for t in tensors
    ]
    return table(["type", "shape", "bytes", "name", ""], rows, right=(2,))
