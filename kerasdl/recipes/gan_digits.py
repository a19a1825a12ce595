"""A small convolutional GAN on the embedded 8x8 digits."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="gan", model_args={"net": "dcgan", "size": "XS", "latent": 32},
    objective="adversarial", objective_args={"loss": "relativistic", "r1": 0.5, "r2": 0.5},
    data="digits",
    epochs=100, batch=64, lr=1e-3, betas=(0.0, 0.99), schedule="constant",
    ema=0.99,
)
