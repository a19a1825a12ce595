# %% [markdown]
# # Train on a Colab GPU
#
# Choose *Runtime > Change runtime type > T4 GPU*, then *Runtime > Run all*. The run is saved on your Drive: when Colab takes the
# runtime away, *Run all* again, and the training resumes from its last checkpoint.

# %% tags=["colab"]
from google.colab import drive

drive.mount("/content/drive")

# %% [markdown]
# Put the wheel that `make wheel` writes to `dist/` in the folder `kerasdl` of your Drive, or choose it when this cell asks.

# %% tags=["colab"]
# The TensorFlow that Colab brings stays as it is.
from glob import glob

from google.colab import files

found = sorted(glob("/content/drive/MyDrive/kerasdl/kerasdl-*.whl")) or list(files.upload())
if not found:
    raise RuntimeError("No wheel was chosen. `make wheel` in a clone of kerasdl writes one.")
wheel = found[-1]
# !pip install --quiet "{wheel}"

# %% [markdown]
# Check the installation and whether TensorFlow finds the GPU. The notebook stops here if something is wrong.

# %% language="bash"
# kerasdl doctor

# %% tags=["colab"]
import tensorflow as tf

if not tf.config.list_physical_devices("GPU"):
    raise RuntimeError("TensorFlow finds no GPU. Choose Runtime > Change runtime type > T4 GPU, then Runtime > Run all.")

# %% tags=["parameters"]
RECIPE = "cnn_mnist"  # see them all with: !kerasdl list
CHANGES = {"precision": "auto", "jit": "auto"}  # choose the faster by measuring
FOLDER = f"/content/drive/MyDrive/kerasdl/{RECIPE}"

# %% [markdown]
# The training curves appear here while the next cell trains.

# %%
# %load_ext tensorboard
# %tensorboard --logdir $FOLDER/tensorboard

# %%
import os

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
# The model is an ordinary `keras.Model`. On another machine, also with JAX: `kerasdl.load(FOLDER).model()`.

# %%
model = run.model()
model.summary()
