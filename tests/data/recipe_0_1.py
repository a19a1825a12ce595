"""A recipe as version 0.1 wrote it, with the settings of its optimizer at the top."""

from kerasdl.recipe import Recipe

recipe = Recipe(model="mlp", model_args={"size": "mu"}, data="digits", optimizer="muon", momentum=0.6, kernel_rms=0.05,
                ns_steps=3, label_smoothing=0.2, epochs=1, batch=256)
