"""SimCLR (Chen et al. 2020) with ResNet-18 on CIFAR-10, as long as published: 1,000 epochs."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="resnet", model_args={"size": "cifar18"}, objective="contrast",
    objective_args={"temperature": 0.2, "width": 2048, "dimensions": 256},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=1_000, batch=256, optimizer="sgd", lr=0.3, weight_decay=1e-4, schedule="cosine", warmup="10 epochs",
    augment=(("random_resized_crop", 0.2), "flip", ("color_jitter", 0.4, 0.4, 0.2, 0.1, 0.8), ("grey", 0.2),
             ("blur", 0.5), ("solarize", 0.1)),
    keep="last",
    precision="mixed_bfloat16",
    claim=Claim(metric="probe/linear", published=0.9074,
                source="solo-learn's README: SimCLR, ResNet-18, 1,000 epochs, linear probe"),
)
