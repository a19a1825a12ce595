"""A compact transformer with convolutions in front on CIFAR-10, for two cores and less than an hour."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="cct", model_args={"size": "2/3x2", "drop_path": 0.1},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=18, batch=128, optimizer="muon", lr=0.02, weight_decay=0.1, warmup="5%",
    objective_args={"label_smoothing": 0.1},
    augment=("alternating_flip", ("pad_crop", 4)),
    ema=0.998,
    claim=Claim(published=0.7676, source="keras.io, Compact Convolutional Transformers: 0.4M parameters, 30 epochs"),
)
