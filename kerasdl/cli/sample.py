"""`kerasdl sample`: images from a generator."""

from pathlib import Path
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, quiet


def sample_images(run: RunFolder,
                  n: Annotated[int, typer.Option(help="number of images", min=1)] = 64,
                  label: Annotated[str | None, typer.Option(
                      "--class", help="class to generate, if the generator is conditional")] = None,
                  seed: Annotated[int, typer.Option(help="seed of the noise; a seed gives the same images each time",
                                                    min=0)] = 0,
                  out: Annotated[Path, typer.Option(help="PNG file to write")] = Path("samples.png"),
                  as_json: AsJson = False) -> None:
    """Generate images with a run's model, as one PNG."""
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl.evaluation import samples
    samples.write(samples.sample(opened, n, label, seed), out)
    if as_json:
        print_json({"run": run, "samples": out, "n": n, "class": label, "seed": seed})
    else:
        print_field("samples", out)
