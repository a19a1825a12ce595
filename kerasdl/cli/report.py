"""`kerasdl report`: the page of a run."""

from kerasdl.cli.terminal import RunFolder, print_field, quiet


def report_run(run: RunFolder) -> None:
    """Write a run's report.html again."""
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl.reports.page import report
    print_field("report", report(opened))
