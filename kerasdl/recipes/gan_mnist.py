"""The textbook's dense GAN on MNIST, made right: 100-256-512-1024-784 and back, and the loss of 2014."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="gan", model_args={"net": "mlp", "size": "textbook", "latent": 100}, objective="adversarial",
    objective_args={"loss": "nonsaturating"},
    data="mnist", splits={"train": "train[:55000]", "val": "train[55000:]"},
    epochs=20, batch=128, lr=2e-4, optimizer_args={"betas": (0.5, 0.999)}, schedule="cosine",
    ema=0.999, jit=True,
)
