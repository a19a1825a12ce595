"""Steps a second of a GAN, beside keras.io's loop and PyTorch: python -m benchmarks.gan, or make bench.

The networks of "dcgan", size S, on MNIST: 28x28 grey images, 64 numbers of noise, the non-saturating loss, Adam. Ours
is the step of a recipe, which averages the generator as well; nobody has a gradient penalty. Writes
docs/results/bench_gan.json.
"""

from functools import partial

from benchmarks import harness
from benchmarks.rows import BATCH

SHAPE, LATENT, HIDDEN, WIDTHS = (28, 28, 1), 64, 256, (128, 64)  # maps at 7x7 and at 14x14
RATE, BETAS = 2e-4, (0.5, 0.999)
STEPS = 40  # of an epoch; the first of two has the compilation
OPPONENTS = {"keras_loop": ("benchmarks.gan_keras",), "torch_eager": ("benchmarks.gan_torch",),
             "torch_compiled": ("benchmarks.gan_torch", "compiled")}


def main() -> None:
    options = harness.parser(__doc__.partition("\n")[0], "bench_gan.json", repeats=5).parse_args()
    harness.pin()
    steps, around = 8 if options.quick else STEPS, harness.surroundings()
    programs = {"ours": ("benchmarks.gan_ours",)} | OPPONENTS
    said = harness.interleaved({name: partial(harness.call, words[0], steps, *words[1:])
                                for name, words in programs.items()}, 2 if options.quick else options.repeats)
    harness.save(options.out, [entry(opponent, said["ours"], said[opponent], around) for opponent in OPPONENTS])
    print(f"wrote {options.out}; make the page with: make results")


def entry(opponent: str, ours: list[dict], theirs: list[dict], around: dict) -> dict:
    """One comparison: medians, spreads, and steps of ours to one of theirs."""
    made = {"row": "gan", "precision": "float32", "batch": BATCH, "opponent": opponent}
    failed = next((said["error"] for said in ours + theirs if "error" in said), None)
    counted = {said["parameters"] for said in ours + theirs if "parameters" in said}
    if not failed and len(counted) > 1:
        failed = f"not the same networks: {sorted(counted)} parameters"
    for who, said in (("ours", ours), ("opponent", theirs)):
        rate = harness.median(said, "images_per_second")
        made[f"{who}_steps_per_second"] = harness.rounded(rate and rate / BATCH)
        for key in ("images_per_second", "first_step_seconds", "total_seconds", "peak_mb"):
            made[f"{who}_{key}"] = harness.rounded(harness.median(said, key), 1)
        made[f"{who}_spread"] = harness.spread(said, "images_per_second")
    made["ratio"] = None if failed else harness.ratio(
        made["ours_images_per_second"], made["opponent_images_per_second"])
    return {**made, "repeats": len(theirs), "environment": around, **({"error": failed} if failed else {})}


if __name__ == "__main__":
    main()
