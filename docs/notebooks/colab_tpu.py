# %% [markdown]
# # Train on a Colab TPU
#
# Choose *Runtime > Change runtime type > v5e-1 TPU*, then *Runtime > Run all*. The run is saved on your Drive: when Colab takes the
# runtime away, *Run all* again, and the training resumes from its last checkpoint.

# %% tags=["colab"]
from google.colab import drive

drive.mount("/content/drive")

# %% [markdown]
# Put the wheel that `make wheel` writes to `dist/` in the folder `kerasdl` of your Drive, or choose it when this cell asks.

# %% tags=["colab"]
# Keras on JAX, and a TensorFlow that reads the data.
from glob import glob

from google.colab import files

found = sorted(glob("/content/drive/MyDrive/kerasdl/kerasdl-*.whl")) or list(files.upload())
if not found:
    raise RuntimeError("No wheel was chosen. `make wheel` in a clone of kerasdl writes one.")
wheel = found[-1]
# !pip install --quiet "{wheel}[tpu]"

# %% [markdown]
# Check the installation and how the TPU can be used. The notebook stops here if something is wrong.

# %% language="bash"
# kerasdl doctor

# %% tags=["parameters"]
RECIPE = "vit_mnist"  # see them all with: !kerasdl list
CHANGES = {"precision": "mixed_bfloat16"}
FOLDER = f"/content/drive/MyDrive/kerasdl/{RECIPE}"

# %% [markdown]
# The training curves appear here while the next cell trains.

# %%
# %load_ext tensorboard
# %tensorboard --logdir $FOLDER/tensorboard

# %%
import os

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import kerasdl

finished = os.path.exists(f"{FOLDER}/result.json")
run = kerasdl.load(FOLDER) if finished else kerasdl.train(RECIPE, workdir=FOLDER, checkpoint_every="1 min", **CHANGES)
run.result["test"]

# %% [markdown]
# The report: scores for each class, the confusion matrix and the worst mistakes. It is `report.html` on your Drive.

# %%
from IPython.display import HTML

HTML(kerasdl.report(run).read_text())

# %% [markdown]
# The model is an ordinary `keras.Model`. On another machine, also with TensorFlow: `kerasdl.load(FOLDER).model()`.

# %%
model = run.model()
model.summary()
