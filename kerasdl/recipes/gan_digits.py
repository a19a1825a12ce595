"""A small convolutional GAN on the embedded 8x8 digits."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="gan", model_args={"net": "dcgan", "size": "S", "latent": 64},
    objective="adversarial", objective_args={"loss": "relativistic", "r1": 1.0, "r2": 1.0, "lazy": 2},
    data="digits",
    epochs=200, batch=64, lr=1e-3, optimizer_args={"betas": (0.5, 0.99)}, schedule="cosine",
    ema=0.999,
)
