"""ResNet-18 on CIFAR-10 in ten epochs, for two cores and 45 minutes."""

from kerasdl.recipe import Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "cifar18"},
    data="cifar10", splits={"train": "train[:49000]", "val": "train[49000:]"},
    epochs=10, batch=512, optimizer="muon", optimizer_args={"momentum": 0.6, "kernel_rms": 0.05, "ns_steps": 3},
    lr=0.04, weight_decay=0.5,  # the decay is the head's
    schedule="onecycle", warmup="5%", objective_args={"label_smoothing": 0.2},
    augment=("alternating_flip", ("pad_crop", 2)),
    tta="flip_shift", keep="last",  # a thousand images are too few to choose by
    precision="mixed_bfloat16",
)
