"""The ResNet of Wang, Yan & Oates 2017 on outlines of leaves (UCR's OSULeaf).

The archive has no validation part: all 200 training series are trained on, and the last epoch is kept. Val is a tenth
of them, and chooses nothing. python -m benchmarks.sequences_data writes the data.
"""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "resnet"},
    data="series:OSULeaf_TRAIN.ts", splits={"train": "train+val"},
    epochs=200, batch=20, lr=1e-3, schedule="cosine", ema=0.99, keep="last",
    claim=Claim(published=0.979, source="Fawaz et al. 2019 (arXiv:1809.04356): ResNet, mean of ten runs"),
)
