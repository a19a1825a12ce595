"""The FCN of Wang, Yan & Oates 2017 on days of electricity demand in winter and summer (UCR's ItalyPowerDemand).

The archive has no validation part: all 67 training series are trained on, and the last epoch is kept. Val is a tenth
of them, and chooses nothing. python -m benchmarks.sequences_data writes the data.
"""

from kerasdl.recipe import Claim, Recipe

recipe = Recipe(
    model="conv1d", model_args={"size": "fcn"},
    data="series:ItalyPowerDemand_TRAIN.ts", splits={"train": "train+val"},
    epochs=300, batch=6, lr=1e-3, schedule="cosine", ema=0.99, keep="last",
    claim=Claim(published=0.961, source="Fawaz et al. 2019 (arXiv:1809.04356): FCN, mean of ten runs"),
)
