"""`kerasdl doctor`: whether this installation works."""

from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, console, print_json, print_line, quiet


def check_installation(clear: Annotated[bool, typer.Option("--clear", help="first remove what is kept for later runs: "
                                                                           "compiled programs, images")] = False,
                       as_json: AsJson = False) -> None:
    """Check versions, devices and data folders; exit code 1 if something is wrong."""
    from kerasdl.installation import backend, doctor

    if clear:
        doctor.clear()
    facts, problems, fails = doctor.preflight()
    if not fails:
        backend.choose()
        with quiet():
            more, found = doctor.examine()
        facts, problems = facts | more, problems + found
    if as_json:
        print_json({"facts": facts, "problems": problems})
    else:
        for name, value in facts.items():
            print_line(f"{name:22}{value}")
        for problem in problems:
            console.print(f"wrong: {problem}", soft_wrap=True, style="red")
        print_line("" if problems else "Nothing is wrong.")
        print_line("To report a problem, send this output with the command that failed; CONTRIBUTING.md says more.")
    if problems:
        raise typer.Exit(1)
