"""ConvNeXt Atto in patches of two pixels on CIFAR-10, for two cores and 45 minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="convnext", model_args={"size": "Atto", "patch": 2, "drop_path": 0.1},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=18, batch=128, optimizer="muon", lr=0.02, weight_decay=0.1, warmup="5%",
    objective_args={"label_smoothing": 0.1},
    augment=("alternating_flip", ("pad_crop", 4)),
    ema=0.998,
)
