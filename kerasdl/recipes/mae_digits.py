"""A masked autoencoder on the embedded 8x8 digits: a ViT learns without labels."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="vit", model_args={"size": "XS", "patch": 2}, objective="mae",
    objective_args={"mask": 0.5},
    data="digits",
    epochs=100, batch=64, lr=1.5e-3, weight_decay=0.05, warmup="10%", jit=True,
    augment=(("translate", 1),),
)
