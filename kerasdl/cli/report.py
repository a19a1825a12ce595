"""`kerasdl report`: the page of a run."""

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, quiet


def report_run(run: RunFolder, as_json: AsJson = False) -> None:
    """Write a run's report.html again."""
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl.reports.page import report
    page = report(opened)
    if as_json:
        print_json({"run": run, "report": page})
    else:
        print_field("report", page)
