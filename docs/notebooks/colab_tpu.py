# %% [markdown]
# # Train on a Colab TPU
#
# Choose *Runtime > Change runtime type > v5e-1 TPU*, then *Runtime > Run all*. A runtime can be taken away at any time: the run is on your
# Drive, so come back and *Run all* again, and it goes on at the step of its last checkpoint.

# %% tags=["colab"]
# Keras on JAX, and a TensorFlow that reads the data. In place of the name, an address or a wheel will do.
# !pip install --quiet "kerasdl[tpu]"

# %% [markdown]
# What is here, by which route the TPU can be used, and what to do if by none. It stops where something is wrong.

# %% language="bash"
# kerasdl doctor

# %% tags=["colab"]
from google.colab import drive

drive.mount("/content/drive")

# %% tags=["parameters"]
RECIPE = "vit_mnist"  # see them all with: !kerasdl list
CHANGES = {"precision": "mixed_bfloat16"}
FOLDER = f"/content/drive/MyDrive/kerasdl/{RECIPE}"

# %% [markdown]
# The curves appear here while the next cell trains.

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
# Every class, the confusion matrix and the worst mistakes; `report.html` on your Drive is the same page.

# %%
from IPython.display import HTML

HTML(kerasdl.report(run).read_text())

# %% [markdown]
# An ordinary `keras.Model`. On another machine, with TensorFlow too: `kerasdl.load(FOLDER).model()`.

# %%
model = run.model()
model.summary()
