"""A convolutional GAN on MNIST without labels, which knows 512 clusters of the images."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="gan", model_args={"net": "dcgan", "size": "XS", "latent": 64, "clusters": 512}, objective="adversarial",
    objective_args={"loss": "relativistic", "r1": [0.5, 0.02], "r2": [0.5, 0.02], "lazy": 4},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=24, batch=64, lr=1e-3, optimizer_args={"betas": (0.5, 0.99)}, schedule="cosine",
    ema=0.999,
)
