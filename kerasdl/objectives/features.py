"""What the report shows of features: which images are near one another, and a map of all."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from sklearn.manifold import TSNE

from kerasdl import figures, zoo
from kerasdl.objectives.images import enlarged, grid
from kerasdl.objectives.sections import Findings, Section, drawing, image, note
from kerasdl.zoo.blocks import set_weights

SHOWN = 1000  # test images of the map, and among which neighbours are looked for
QUERIES, NEAREST = 6, 7  # rows of the sheet of neighbours, and images next to the first of each


def encoder(trained: keras.Model, model: str, args: Mapping[str, Any], shape: Sequence[int]) -> keras.Model:
    """Return image (B, H, W, C) 0..255 -> features (B, D): a model of the zoo, with the weights of a trained network
    whose layers are called as its own.

    Args:
        trained: the network, which has more layers and reads them otherwise.
        model: the name in the zoo.
        args: of the model.
        shape: (height, width, channels) that the network was trained on.
    """
    body = zoo.body(model, shape, **args)
    for layer in body.layers:
        if layer.weights:
            set_weights(layer, trained.get_layer(layer.name).get_weights())
    return keras.Model(body.input, body.output["features"])


def means(trained: keras.Model) -> keras.Model:
    """Return image (B, H, W, C) 0..255 -> features (B, D): the means of the grid that is the layer "maps" of a trained
    network. The layers are its own, as a training that removes channels or rounds has left them."""
    return keras.Model(trained.inputs[0], keras.ops.mean(trained.get_layer("maps").output, axis=(1, 2)))


def sections(network: keras.Model, findings: Findings, labels_seen: bool) -> list[Section]:
    """Return the neighbours of some test images in feature space, and a map of the test images.

    Args:
        network: image (B, H, W, C) 0..255 -> features (B, ...).
        findings: of the run.
        labels_seen: whether training read the labels.
    """
    split = findings.splits("test")
    shown = min(SHOWN, len(split))
    images, labels = split.take(np.arange(shown) * len(split) // shown)  # from every class, if they are sorted
    features = network.predict(images, verbose=0)
    features = features.reshape(len(features), -1).astype("float64")
    found = [neighbours(features, images, findings.data)]
    if len(images) < QUERIES or np.linalg.matrix_rank(features - features.mean(0)) < 2:
        return found  # too few, or on a line: there is no map
    return [*found, tsne(features, labels, split.classes, labels_seen)]


def neighbours(features: np.ndarray, images: np.ndarray, data: str) -> Section:
    """Return a sheet: in each row an image, and those whose features have the largest cosine with its own.

    Args:
        features: (N, D).
        images: (N, H, W, C) uint8.
        data: what they are of.
    """
    own = features / np.sqrt(np.square(features).sum(1, keepdims=True) + 1e-12)
    queries = np.linspace(0, len(own) - 1, min(QUERIES, len(own))).astype(int)
    cosines = own[queries] @ own.T
    cosines[np.arange(len(queries)), queries] = np.inf  # each comes first in its own row
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST + 1]
    sheet = grid(enlarged(np.rint(images[order.ravel()]).clip(0, 255).astype("uint8")), order.shape[1])
    return Section("Nearest neighbours", note(
        f"Each row begins with a test image of {data}; then come the {order.shape[1] - 1} of {len(own):,} "
        "whose features are nearest to its own, by their cosine.") + image(sheet, "images with their neighbours"),
        id="neighbours")


def tsne(features: np.ndarray, labels: np.ndarray | None, classes: Sequence[str], labels_seen: bool) -> Section:
    """Return a map on which near features (N, D) are near (van der Maaten & Hinton 2008), coloured by class."""
    places = TSNE(init="pca", random_state=0, perplexity=min(30.0, (len(features) - 1) / 3)).fit_transform(features)
    known = labels is not None and labels.ndim == 1 and bool(classes)
    unseen = "" if labels_seen else ", which training did not see"
    colours = f" A colour is a class{unseen}." if known else ""
    return Section("Map of the features", note(
        f"t-SNE of the features of {len(features):,} test images: what lies close together is similar to the network; "
        f"distances between clusters mean nothing.{colours}") + drawing(
        figures.clusters(places, labels if known else None, classes), "t-SNE map of the features"), id="map")
