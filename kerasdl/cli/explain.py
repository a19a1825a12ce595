"""`kerasdl explain`: what a run's model looks at, and how far the answer can be trusted."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kerasdl.cli.terminal import (
    AsJson,
    RunFolder,
    WriteReport,
    print_field,
    print_json,
    print_line,
    quiet,
    verbose,
)
from kerasdl.errors import UserError


def explain_run(run: RunFolder,
                files: Annotated[list[str] | None, typer.Argument(
                    metavar="FILE...", help="images, folders of images, CSV files, texts, series or .npy arrays, as "
                                            "kerasdl predict takes them")] = None,
                method: Annotated[str, typer.Option(
                    metavar="METHOD", help="one or several with commas; docs/explain.md lists them")
                ] = "integrated_gradients",
                mistakes: Annotated[int | None, typer.Option(
                    metavar="N", min=1, max=64, help="explain the N most confident mistakes on the test split")] = None,
                sample: Annotated[int | None, typer.Option(
                    metavar="N", min=1, max=64, help="explain N examples of the test split")] = None,
                target: Annotated[str | None, typer.Option(
                    "--class", metavar="NAME", help="explain the answer for this class, and not for the predicted one; "
                                                    "of several numbers 'output 2', and not the first")] = None,
                layer: Annotated[str | None, typer.Option(
                    metavar="NAME", help="of grad_cam and attention_heads; by default the last one that fits")] = None,
                check: Annotated[bool, typer.Option(
                    "--check", help="measure whether the method can be trusted on this model")] = False,
                examples: Annotated[int | None, typer.Option(
                    min=8, help="examples of the test split for --check; by default 100")] = None,
                planted: Annotated[bool | None, typer.Option(
                    "--planted/--no-planted", help="for --check, train a network that knows a planted reason; by "
                                                   "default if that takes ten minutes at most")] = None,
                resize: Annotated[bool, typer.Option(
                    "--resize", help="resize images to the size the model was trained on")] = False,
                seed: Annotated[int, typer.Option(min=0, help="of all that is random")] = 0,
                out: Annotated[Path | None, typer.Option(
                    metavar="FOLDER", help="where to write; by default RUN/explain")] = None,
                report: WriteReport = True, as_json: AsJson = False) -> None:
    """Show what a run's model looks at: maps over examples, what columns count, and the checks of each method."""
    from kerasdl.cli import preflight
    from kerasdl.run import Run

    opened = Run.open(run)
    names = preflight.explanation(opened, method, files or [], mistakes, sample, check)
    if not check:
        refuse_without_check({"--examples": examples, "--planted or --no-planted": planted})
    check_options(names, {"FILE": files, "--mistakes": mistakes, "--sample": sample, "--class": target,
                          "--layer": layer, "--check": check})
    with quiet():
        from kerasdl import logs
        from kerasdl.explain import examples as shown
        from kerasdl.explain import outcome, page
        from kerasdl.explain.explaining import Subject, explain_subject
    folder = out or opened.path / "explain"
    with logs.on_stderr(verbose()):
        subject = Subject(opened)
        if files:
            chosen = shown.of_files(opened, files, resize)
        elif mistakes or sample:
            chosen = shown.of_test(opened, subject.objective, subject.test, wrong=mistakes, some=sample, seed=seed)
        else:
            chosen = None
        explained = explain_subject(subject, names, chosen, target=target, layer=layer, plant=planted, seed=seed,
                                    checked=shown.checked(subject.test, examples or 100, seed) if check else None)
        found = outcome.write(explained, folder)
        file = page.write(explained, found, folder)
        if report and (opened.path / "result.json").is_file() and page.hand_in(explained, found):
            from kerasdl.reports.page import report as write_report

            write_report(opened, keep=True)  # files are explained without the run's data
    if as_json:
        print_json(found | {"folder": folder, "page": file})
        return
    show(found)
    print_field("page", file)


def refuse_without_check(options: dict[str, Any]) -> None:
    """Raise a UserError for an option of --check, {option: what was given}: without it, it would do nothing."""
    for option, value in options.items():
        if value is not None:
            raise UserError(f"{option} is about --check, which is not asked for. Add --check, or leave it out.")


def check_options(methods: list[str], options: dict[str, Any]) -> None:
    """Raise a UserError for options about examples, {option: what was given}, where no method explains any."""
    from kerasdl.explain import names

    given = [option for option, value in options.items() if value]
    if given and not any(names.is_attribution(method) for method in methods):
        raise UserError(f"{' and '.join(methods)} explain{'s' * (len(methods) == 1)} the model as a whole, and "
                        f"{given[0]} is about examples. Leave it out, or add a method such as integrated_gradients.")


def show(found: dict[str, Any]) -> None:
    """Print the answers that are explained, and the verdict on each method."""
    from kerasdl.explain.page import caption

    for row in found["examples"]:
        print_line(caption(row))
    for row in found["methods"]:
        if check := row["check"]:
            print_line(f"{row['method']}: " + ("beats its controls" if check["trusted"] else
                                               f"not to be trusted on this model: it {'; it '.join(check['why'])}"))
    for remark in found["remarks"]:
        print_line(remark)
    if found["methods"] and not any(row["check"] for row in found["methods"]):
        print_line("Not checked: add --check to measure whether these maps can be trusted on this model.")
