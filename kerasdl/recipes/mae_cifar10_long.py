"""A masked autoencoder (He et al. 2021) with a ViT-Ti on CIFAR-10, as long as published: 2,000 epochs."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="vit", model_args={"size": "Ti", "patch": 2, "pool": "token"}, objective="mae",
    objective_args={"mask": 0.75, "decoder_width": 192, "decoder_depth": 4, "decoder_heads": 3},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=2_000, batch=4096, lr=2.4e-3, weight_decay=0.05, optimizer_args={"betas": (0.9, 0.95)}, schedule="cosine",
    warmup="10%",
    keep="last",
    precision="mixed_bfloat16",
    claim=Claim(metric="probe/fine-tuned", published=0.8977,
                source="IcarusWizard/MAE's README: ViT-Ti, 2,000 epochs, then fine-tuned; 74.13 from scratch, without "
                       "augmentation"),
)
