"""The step that kerasdl.train takes of a GAN's recipe: python -m benchmarks.gan_ours STEPS."""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import arrays, meter  # noqa: E402
from benchmarks.gan import BETAS, LATENT, RATE, SHAPE  # noqa: E402
from benchmarks.rows import BATCH, CLASSES  # noqa: E402
from kerasdl.data import Split  # noqa: E402
from kerasdl.devices import strategy
from kerasdl.recipe import Recipe  # noqa: E402
from kerasdl.train.setup import Setup  # noqa: E402


def main() -> None:
    steps = int(sys.argv[1])
    recipe = Recipe(name="bench_gan", model="gan", model_args={"net": "dcgan", "size": "S", "latent": LATENT},
                    objective="adversarial", objective_args={"loss": "nonsaturating"}, data="arrays", batch=BATCH,
                    epochs=2, lr=RATE, betas=BETAS, schedule="constant", ema=0.999)
    x, y = arrays.load("mnist", "train", steps * BATCH)
    split = Split("train", x, y.astype("int32"), SHAPE, len(x), tuple(map(str, range(CLASSES))))
    began = time.perf_counter()
    setup = Setup.of(recipe, {"train": split}, strategy.choose("one"), "auto")
    model, _ = setup.networks()
    batches = iter(setup.batches(model))
    model.make_train_function()
    calls, rates = -(-steps // model.steps_per_execution), []
    model.train_function(batches)
    first = time.perf_counter() - began
    for _ in range(2 * calls - 1):
        before = time.perf_counter()
        float(model.train_function(batches)["loss"])
        rates.append(model.steps_per_execution * BATCH / (time.perf_counter() - before))
    parameters = sum(v.shape.num_elements() for net in (model.generator, model.discriminator)
                     for v in net.trainable_variables)
    meter.report(parameters, sorted(rates)[len(rates) // 2], first, meter.since_start(), meter.peak_mb())


if __name__ == "__main__":
    main()
