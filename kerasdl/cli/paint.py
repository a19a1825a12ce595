"""`kerasdl paint`: fill a hole of an image, colour it, or take its noise."""

from pathlib import Path
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, columns, print_field, print_json, print_text, quiet


def paint_image(run: RunFolder,
                image: Annotated[Path, typer.Argument(metavar="IMAGE", help="an image file of any size")],
                mask: Annotated[Path | None, typer.Option(
                    metavar="FILE", help="an image of the same size: white where IMAGE has a hole, black elsewhere; or "
                                         "transparent where it has one")] = None,
                truth: Annotated[Path | None, typer.Option(
                    metavar="FILE", help="what was there, to print PSNR and SSIM next to those of controls")] = None,
                out: Annotated[Path, typer.Option(metavar="FILE", help="PNG file to write")] = Path("painted.png"),
                as_json: AsJson = False) -> None:
    """Fill the holes of an image, or colour or denoise it, with a model that was trained to."""
    from kerasdl.cli import preflight
    from kerasdl.run import Run

    opened = Run.open(run)
    preflight.painting(opened, out, image, mask, truth)
    with quiet():
        from kerasdl.evaluation import paint
    found = paint.paint(opened, image, mask, truth)
    paint.write(found.painted.image, out)
    if as_json:
        print_json({"run": run, "image": image, "painted": out, "pixels": int(found.painted.hidden.sum()),
                    "how": found.painted.how, "scores": found.scores})
        return
    print_field("image", out)
    print_field("how", found.painted.how)
    if found.scores:
        rows = [(name, f"{scores['psnr']:.2f}", f"{scores['ssim']:.4f}") for name, scores in found.scores.items()]
        print_text(columns(("", "PSNR, dB", "SSIM"), rows))
