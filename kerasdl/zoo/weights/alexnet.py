"""Weights of AlexNet, size "2014": torchvision."""

from kerasdl.zoo.weights.tables import Table, Tensors, by_channel, by_row


def torch_names(tensors: Tensors, model) -> Tensors:
    """Return torchvision's tensors: its first hidden layer reads maps by channel first, ours by row."""
    return by_row(tensors, "classifier.1.weight", model)


def our_names(tensors: Tensors, model) -> Tensors:
    """Return the tensors for torchvision."""
    return by_channel(tensors, "classifier.1.weight", model)


TABLES = [
    Table("alexnet", "torchvision", "torch", [
        *((f"stage{i}_conv", f"features.{number}") for i, number in enumerate((0, 3, 6, 8, 10), 1)),
        ("hidden1", "classifier.1"), ("features", "classifier.4"), ("logits", "classifier.6"),
    ], prepare=torch_names, undo=our_names),
]
