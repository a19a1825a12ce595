"""Barlow Twins (Zbontar et al. 2021) on CIFAR-10: a CNN learns from views, for two cores and 45 minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="cnn", model_args={"size": "M", "whitened": True}, objective="agree",
    objective_args={"method": "barlow", "dimensions": 512},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=16, batch=512, optimizer="muon", optimizer_args={"momentum": 0.6}, lr=0.03, weight_decay=0.1,
    schedule="cosine", warmup="5%",
    augment=(("random_resized_crop", 0.25), "flip", ("color_jitter", 0.4, 0.4, 0.4, 0.1, 0.8), ("grey", 0.2)),
    keep="last",
)
