"""SimCLR on the embedded 8x8 digits: a small CNN learns without labels which views are of one image."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "S"}, objective="contrast",
    objective_args={"width": 128, "dimensions": 64},
    data="digits",
    epochs=60, batch=128, lr=2e-3, weight_decay=0.01, warmup="10%",
    augment=(("random_resized_crop", 0.4), ("translate", 1)),
)
