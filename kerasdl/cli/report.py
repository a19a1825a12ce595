"""`kerasdl report`: the page of a run."""

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, quiet, verbose


def report_run(run: RunFolder, as_json: AsJson = False) -> None:
    """Write a run's report.html again; one that shows the test split stays where that cannot be read now."""
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl import logs
        from kerasdl.reports.page import report
    with logs.on_stderr(verbose()):
        page = report(opened, keep=True)
    if as_json:
        print_json({"run": run, "report": page})
    else:
        print_field("report", page)
