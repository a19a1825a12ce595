"""`kerasdl sample`: images from a generator, or a text that a language model continues."""

from pathlib import Path
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, print_text, quiet
from kerasdl.errors import UserError


def sample_model(run: RunFolder,
                 n: Annotated[int | None, typer.Option(help="number of images; by default 64", min=1)] = None,
                 label: Annotated[str | None, typer.Option(
                     "--class", help="class to generate, if the generator is conditional")] = None,
                 prompt: Annotated[str | None, typer.Option(
                     metavar="TEXT", help="text that a language model continues; then no image is made")] = None,
                 tokens: Annotated[int | None, typer.Option(
                     help="tokens or characters to add to the prompt; by default 300", min=1)] = None,
                 temperature: Annotated[float | None, typer.Option(
                     help="below 1 takes probable tokens more often, 0 always the most probable; by default 0.8", min=0)
                 ] = None,
                 top_k: Annotated[int | None, typer.Option(help="draw from the k most probable tokens", min=1)] = None,
                 top_p: Annotated[float | None, typer.Option(
                     help="draw from the most probable tokens that reach this probability", min=0, max=1)] = None,
                 seed: Annotated[int, typer.Option(help="seed of the noise; a seed gives the same each time",
                                                   min=0)] = 0,
                 out: Annotated[Path | None, typer.Option(help="PNG file to write; by default samples.png")] = None,
                 as_json: AsJson = False) -> None:
    """Generate images with a run's model, as one PNG, or continue a text."""
    from kerasdl.run import Run

    opened = Run.open(run)
    of_images = {"--n": n, "--class": label, "--out": out}
    of_texts = {"--tokens": tokens, "--temperature": temperature, "--top-k": top_k, "--top-p": top_p}
    for name, value in (of_texts if prompt is None else of_images).items():
        if value is not None:
            what = "texts. Give --prompt, too, or leave" if prompt is None else "images. Leave"
            raise UserError(f"{name} is for {what} {name} out.")
    with quiet():
        from kerasdl.evaluation import samples
    if prompt is not None:
        text = samples.continued(opened, prompt, tokens or 300, temperature=0.8 if temperature is None else temperature,
                                 top_k=top_k, top_p=top_p, seed=seed)
        print_json({"run": run, "prompt": prompt, "text": text, "seed": seed}) if as_json else print_text(text)
        return
    n, out = n or 64, out or Path("samples.png")
    samples.write(samples.sample(opened, n, label, seed), out)
    if as_json:
        print_json({"run": run, "samples": out, "n": n, "class": label, "seed": seed})
    else:
        print_field("samples", out)
