"""A masked autoencoder (He et al. 2021) on CIFAR-10: a small ViT without labels, for two cores and 45 minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="vit", model_args={"size": "XS", "patch": 4, "pool": "mean"}, objective="mae",
    objective_args={"mask": 0.75, "decoder_width": 64, "decoder_depth": 1},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=60, batch=256, lr=1.5e-3, weight_decay=0.05, optimizer_args={"betas": (0.9, 0.95)}, schedule="cosine",
    warmup="5%",
    augment=(("random_resized_crop", 0.2), "flip"),
    keep="last",
)
