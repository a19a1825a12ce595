"""keras-hub's ViT in the usual Keras script: python -m benchmarks.keras_hub vit float32 8.

Its ResNet has a pool behind the stem whatever its arguments, so it is not the row's network, and is left out.
"""

from benchmarks import keras_script
from benchmarks.rows import CLASSES, Row


def build(row: Row, name: str):
    import keras_hub

    if name != "vit":
        raise SystemExit(f"keras-hub does not have the network of row {name}")
    backbone = keras_hub.models.ViTBackbone(row.shape, patch_size=4, num_layers=12, num_heads=3, hidden_dim=192,
                                            mlp_dim=4 * 192)
    return keras_hub.models.ViTImageClassifier(backbone, CLASSES, pooling="token", head_dtype="float32")


if __name__ == "__main__":
    keras_script.train(build)
