"""The ResNet of Wang, Yan & Oates 2017 on outlines of arrowheads (UCR's ArrowHead).

The archive has no validation part: all 36 training series are trained on, and the last epoch is kept. Val is a tenth
of them, and chooses nothing. python -m benchmarks.sequences_data writes the data.
"""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "resnet"},
    data="series:ArrowHead_TRAIN.ts", splits={"train": "train+val"},
    epochs=300, batch=3, lr=1e-3, schedule="cosine", ema=0.99, keep="last",
    claim=Claim(published=0.845, source="Fawaz et al. 2019 (arXiv:1809.04356): ResNet, mean of ten runs"),
)
