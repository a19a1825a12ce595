"""Clusters of a data set, which stand for classes where a GAN has no labels."""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from kerasdl.data.split import Split
from kerasdl.errors import UserError
from kerasdl.objectives.gan.scores import some
from kerasdl.zoo.gan.layers import Cluster

IMAGES, COMPONENTS = 60_000, 50  # images at most that clusters are found in, seen through so many components


def find_clusters(layer: Cluster, split: Split) -> None:
    """Set a generator's layer to the clusters of a split."""
    images = split.sample(IMAGES) if split.streamed else split.take(some(len(split), IMAGES))[0]
    if len(images):
        layer.set_clusters(*kmeans(images, layer.clusters))


def kmeans(images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centers (count, pixels), in -1..1, of clusters of images (N, H, W, C), and their shares; similar ones
    are neighbours.

    Principal components are faster than pixels, and divide MNIST better. The images and the start are always the same,
    whatever the run's seed.
    """
    if len(images) < 2 * count:
        raise UserError(f"clusters={count} are too many for {len(images)} images. Half as many is the most.")
    rows = images.reshape(len(images), -1).astype("float32") / 127.5 - 1
    components = PCA(min(COMPONENTS, *rows.shape), random_state=0).fit(rows)
    found = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=0).fit(components.transform(rows))
    order = leaves_list(linkage(found.cluster_centers_, "ward", optimal_ordering=True))
    shares = np.bincount(found.labels_, minlength=count)[order] / len(images)
    return components.inverse_transform(found.cluster_centers_[order]), shares
