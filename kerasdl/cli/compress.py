"""`kerasdl compress`: smaller versions of a run's model, and what each costs."""

from typing import Annotated, Any

import typer
from rich.table import Table

from kerasdl.cli.terminal import (
    AsJson,
    RunFolder,
    WriteReport,
    print_field,
    print_found,
    print_line,
    print_table,
    quiet,
    verbose,
)


def compress_run(run: RunFolder,
                 to: Annotated[str | None, typer.Option(
                     metavar="SIZE", help="how large the file may be, such as '96 KB'")] = None,
                 latency: Annotated[float | None, typer.Option(
                     min=0, metavar="MS", help="how many milliseconds a call with one example may take here")] = None,
                 epochs: Annotated[int | None, typer.Option(
                     min=1, help="of the training of each version; by default a fifth of the run's")] = None,
                 report: WriteReport = True, as_json: AsJson = False) -> None:
    """Make smaller versions of a run's model, fewest losses first, until one is small or fast enough."""
    from kerasdl.deploy import formats
    from kerasdl.deploy.compress.choose import Target, size_of
    from kerasdl.run import Run

    target = Target(size_of(to) if to else None, latency)
    formats.find("litert", "int8"), Run.open(run).model_file  # before TensorFlow is imported
    with quiet():
        from kerasdl import logs
        from kerasdl.deploy.compress import page, walk
    with logs.on_stderr(verbose()):
        facts = walk.compress(run, target, epochs=epochs, report=report)
    file = Run.open(run).path / "compress" / page.PAGE if report else None
    print_found(facts, file, as_json, show)
    if not as_json:
        print_field("file", facts["file"])


def show(facts: dict[str, Any]) -> None:
    """Print the table of versions."""
    table = Table("version", "KB", "parameters", "multiply-adds", "ms", f"val {facts['score']}", box=None,
                  header_style="bold")
    for one in facts["versions"]:
        mark = f"{' *' * (one['name'] == facts['chosen'])}{' f' * one['frontier']}"
        table.add_row(one["name"], f"{one['bytes'] / 1000:.1f}", f"{one['parameters']:,}",
                      f"{one['multiply_adds']:,}", f"{one['milliseconds']:.3g}", f"{one['val']:.4f}{mark}")
    print_table(table)
    print_line("\n* chosen; f: on the frontier, as no other version is as small and as good")
    print_line(f"test {facts['test']['file']:.4f}, and {facts['test']['keras']:.4f} in Keras")
