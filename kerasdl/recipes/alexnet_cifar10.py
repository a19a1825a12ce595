"""AlexNet's form for CIFAR-10, cuda-convnet's three convolutions, for two cores and 45 minutes."""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="alexnet", model_args={"size": "cifar"},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=120, batch=128, optimizer="muon", lr=0.02, schedule="onecycle", weight_decay=0.1,
    augment=("alternating_flip", ("pad_crop", 4)),
    ema=0.998,
    claim=Claim(published=0.89, source="Krizhevsky et al. 2012, section 3.3: 11 % error with response normalisation, a "
                                       "network of four layers, which has more parameters"),
)
