"""Generators and discriminators; see kerasdl.zoo.gan.pairs."""

from kerasdl.zoo.gan.pairs import DCGAN, MLP, NETS, PARAMETERS, RESNET, build, count_classes

__all__ = ["DCGAN", "MLP", "NETS", "PARAMETERS", "RESNET", "build", "count_classes"]
