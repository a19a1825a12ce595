# %% [markdown]
# # Train on a Colab GPU
#
# Choose *Runtime > Change runtime type > T4 GPU*, then *Runtime > Run all*. A runtime can be taken away at any time: the run is on your
# Drive, so come back and *Run all* again, and it goes on at the step of its last checkpoint.

# %% tags=["colab"]
# The TensorFlow that Colab brings stays as it is. In place of the name, an address or a wheel will do.
# !pip install --quiet "kerasdl"

# %% [markdown]
# What is here, whether TensorFlow sees the GPU, and what to do if not. It stops where something is wrong.

# %% language="bash"
# kerasdl doctor

# %% tags=["colab"]
from google.colab import drive

drive.mount("/content/drive")

# %% tags=["parameters"]
RECIPE = "cnn_mnist"  # see them all with: !kerasdl list
CHANGES = {"precision": "auto", "jit": "auto"}  # whichever is faster here
FOLDER = f"/content/drive/MyDrive/kerasdl/{RECIPE}"

# %% [markdown]
# The curves appear here while the next cell trains.

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
# Every class, the confusion matrix and the worst mistakes; `report.html` on your Drive is the same page.

# %%
from IPython.display import HTML

HTML(kerasdl.report(run).read_text())

# %% [markdown]
# An ordinary `keras.Model`. On another machine, with JAX too: `kerasdl.load(FOLDER).model()`.

# %%
model = run.model()
model.summary()
