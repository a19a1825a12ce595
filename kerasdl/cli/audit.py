"""`kerasdl audit`: whom a run fails, how sure it should be, what breaks it, and whose data it gives away."""

from typing import Annotated, Any

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, WriteReport, print_found, print_line, quiet, verbose


def audit_run(run: RunFolder,
              group: Annotated[list[str] | None, typer.Option(
                  metavar="WORD", help="who is compared: a column of the table, a level of folders such as 1, or "
                                       "FILE.py:FUNCTION of the test split; may be given again")] = None,
              quick: Annotated[bool, typer.Option("--quick", help="look at fewer examples, no shadow runs")] = False,
              shadows: Annotated[int | None, typer.Option(
                  min=0, help="shadow runs to train, two or more, to find out whose data the model gives away; by "
                              "default as many as take a minute")] = None,
              only: Annotated[list[str] | None, typer.Option(
                  metavar="PART", help="ask this question only, such as groups or confidence; may be given again")
              ] = None,
              seed: Annotated[int, typer.Option(min=0, help="of everything that is drawn at random")] = 0,
              report: WriteReport = True, as_json: AsJson = False) -> None:
    """Say of a run whom it fails, how sure it should be, what breaks it, and how far each answer can be trusted."""
    from kerasdl.audit import finished
    from kerasdl.run import Run

    found = Run.open(run)
    finished.check(found)
    with quiet():
        from kerasdl import logs
        from kerasdl.audit import page
        from kerasdl.audit.audit import audit
        from kerasdl.reports.page import report as written
    with logs.on_stderr(verbose()):
        facts = audit(found, group or (), quick=quick, seed=seed, shadows=shadows, only=only or ())
    file = page.write(found.path, facts) if report else None
    if file:
        written(found)
    print_found(facts, file, as_json, show)


def show(facts: dict[str, Any]) -> None:
    """Print each question with its sentences, and which ones were not asked."""
    from kerasdl.audit.page import left_out

    for part in facts["parts"]:
        print_line(part["title"])
        for line in [part["silent"]] if part["silent"] else part["lines"]:
            print_line(f"  {line}")
        print_line("")
    if rest := left_out(facts):
        print_line(rest)
