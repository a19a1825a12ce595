"""`kerasdl card`: a model card, and a repository on Hugging Face."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, quiet
from kerasdl.errors import UserError


def write_card(run: RunFolder,
               out: Annotated[Path | None, typer.Option(help="the file; by default README.md in the run")] = None,
               license: Annotated[str | None, typer.Option(
                   "--license", "--licence", metavar="ID",
                   help="the license that you give the model, such as apache-2.0; else the card names none")] = None,
               push: Annotated[str | None, typer.Option(
                   metavar="OWNER/NAME", help="upload card and model to this repository of Hugging Face, which is made "
                                              "unless it is there, and is private")] = None,
               public: Annotated[bool, typer.Option("--public", help="with --push: everybody may read it")] = False,
               dry_run: Annotated[bool, typer.Option(
                   "--dry-run", help="with --push: list what would be uploaded, and upload nothing")] = False,
               as_json: AsJson = False) -> None:
    """Write the model card of a run, README.md as hubs read it, and share the run on Hugging Face if you say so."""
    from kerasdl.files import write_text, writing
    from kerasdl.hub import push as hub
    from kerasdl.run import Run

    if (public or dry_run) and not push:
        raise UserError(f"{'--public' if public else '--dry-run'} says how to upload. Add --push OWNER/NAME.")
    opened, out = Run.open(run), out or Path(run) / hub.CARD
    if push and not dry_run:
        hub.check(push)
    with quiet():
        from kerasdl.hub.card import model_card
        card = model_card(opened, license, push)
    with writing(out, "Name another file with --out."):
        write_text(out, card)
    found: dict[str, Any] = {"card": str(out)}
    if push:
        given = hub.contents(opened, card)
        named = hub.places(opened, given)
        if not as_json:
            show(given, named, out)
        found |= {"files": list(given), "named_folders": named}
        found |= {} if dry_run else hub.push(given, push, public)
    if as_json:
        print_json(found)
    elif not push:
        print_field("card", out)
    elif not dry_run:
        print_field("commit", f"{found['commit']}, {'public' if found['public'] else 'private'}")
        if public and not found["public"]:
            print_field("note", f"{push} was there and is private. Its settings on Hugging Face make it public.")


def show(given: Mapping[str, Path | bytes], named: Sequence[str], out: Path) -> None:
    """Print what is uploaded, and which files name folders of this machine."""
    from kerasdl.hub.push import size

    print_field("card", out)
    for name, held in given.items():
        print_field("upload", f"{name}, {size(held):,} bytes")
    if named:
        print_field("note", f"these name folders of this machine: {', '.join(named)}")
