"""A convolutional GAN on CIFAR-10, with the relativistic loss and both gradient penalties."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="gan", model_args={"net": "dcgan", "size": "S", "latent": 128}, objective="adversarial",
    objective_args={"loss": "relativistic", "r1": 1.0, "r2": 1.0, "lazy": 4},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"}, augment=("flip",),
    epochs=20, batch=64, lr=5e-4, optimizer_args={"betas": (0.5, 0.99)}, schedule="cosine",
    ema=0.999,
)
