"""`kerasdl sample`: images from a generator, or a text that a language model continues."""

from pathlib import Path
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, print_text, quiet


def sample_model(run: RunFolder,
                 n: Annotated[int, typer.Option(help="number of images", min=1)] = 64,
                 label: Annotated[str | None, typer.Option(
                     "--class", help="class to generate, if the generator is conditional")] = None,
                 prompt: Annotated[str | None, typer.Option(
                     metavar="TEXT", help="text that a language model continues; then no image is made")] = None,
                 tokens: Annotated[int, typer.Option(help="tokens or characters to add to the prompt", min=1)] = 300,
                 temperature: Annotated[float, typer.Option(
                     help="below 1 takes probable tokens more often; 0 always the most probable", min=0)] = 0.8,
                 top_k: Annotated[int | None, typer.Option(help="draw from the k most probable tokens", min=1)] = None,
                 top_p: Annotated[float | None, typer.Option(
                     help="draw from the most probable tokens that reach this probability", min=0, max=1)] = None,
                 seed: Annotated[int, typer.Option(help="seed of the noise; a seed gives the same each time",
                                                   min=0)] = 0,
                 out: Annotated[Path, typer.Option(help="PNG file to write")] = Path("samples.png"),
                 as_json: AsJson = False) -> None:
    """Generate images with a run's model, as one PNG, or continue a text."""
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl.evaluation import samples
    if prompt is not None:
        text = samples.continued(opened, prompt, tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        print_json({"run": run, "prompt": prompt, "text": text, "seed": seed}) if as_json else print_text(text)
        return
    samples.write(samples.sample(opened, n, label, seed), out)
    if as_json:
        print_json({"run": run, "samples": out, "n": n, "class": label, "seed": seed})
    else:
        print_field("samples", out)
