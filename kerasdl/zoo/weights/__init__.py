"""Weights from outside: files of timm, torchvision, Hugging Face, Google and Keras, read into the zoo's networks.

Every tensor of the file and every variable of the network is used exactly once, or nothing is loaded. A head for
another number of classes stays as it was initialised; the position embeddings of another grid are resized; the first
layer, "scale", gets the preprocessing that the weights were trained with, so that the network takes raw pixels 0..255.
"""

from kerasdl.zoo.weights.bodies import backbone
from kerasdl.zoo.weights.choice import NETS, best, tables_of, variables
from kerasdl.zoo.weights.evaluation import evaluation
from kerasdl.zoo.weights.reading import Loaded, load, loaded
from kerasdl.zoo.weights.writing import exported, save, sources

__all__ = ["NETS", "Loaded", "backbone", "best", "evaluation", "exported", "load", "loaded", "save", "sources",
           "tables_of", "variables"]
