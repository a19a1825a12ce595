"""The embedded data set: 1,797 handwritten digits of 8x8, as scikit-learn bundles them, behind a tfds builder.

From the UCI "Optical Recognition of Handwritten Digits" set (Alpaydin & Kaynak, 1998), its test part. Pixels of 0..16
are stretched to 0..255.
"""

import numpy as np
import tensorflow_datasets as tfds

SPLITS = {"train": 0.7, "validation": 0.1, "test": 0.2}


class Digits(tfds.core.GeneratorBasedBuilder):
    """`digits`: fixed, stratified splits of 1,257, 180 and 360 images; needs no network."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "70 % train, 10 % validation, 20 % test, stratified."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=__doc__,
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(8, 8, 1)),
                "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
            }),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in SPLITS}

    def _generate_examples(self, split):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        images = np.rint(images * 255 / 16).astype("uint8").reshape(-1, 8, 8, 1)
        order = np.arange(len(labels))
        rest, test = train_test_split(order, test_size=360, stratify=labels, random_state=0)
        train, validation = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=0)
        for index in {"train": train, "validation": validation, "test": test}[split]:
            yield int(index), {"image": images[index], "label": int(labels[index])}
