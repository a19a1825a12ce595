"""The GAN: two networks, two optimizers, one training step."""

from kerasdl.objectives.gan.gan import GAN, sample

__all__ = ["GAN", "sample"]
