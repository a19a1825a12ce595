"""The same GAN in PyTorch, in its best mode on a processor: python -m benchmarks.gan_torch STEPS [compiled].

Channels-last, fused optimizers, images gathered from memory by a random permutation.
"""

import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import arrays, meter
from benchmarks.gan import BATCH, BETAS, HIDDEN, LATENT, RATE, SHAPE, WIDTHS


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        wide, narrow = WIDTHS
        self.wide = wide
        self.seed = nn.Sequential(nn.Linear(LATENT, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(),
                                  nn.Linear(HIDDEN, 7 * 7 * wide, bias=False))
        self.rest = nn.Sequential(
            nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
            nn.BatchNorm2d(narrow), nn.ReLU(), nn.ConvTranspose2d(narrow, SHAPE[2], 4, 2, 1), nn.Tanh())

    def forward(self, z):
        return self.rest(self.seed(z).view(-1, 7, 7, self.wide).permute(0, 3, 1, 2))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        wide, narrow = WIDTHS
        self.rest = nn.Sequential(nn.Conv2d(SHAPE[2], narrow, 4, 2, 1), nn.LeakyReLU(0.2),
                                  nn.Conv2d(narrow, wide, 4, 2, 1), nn.LeakyReLU(0.2))
        self.logit = nn.Sequential(nn.Linear(7 * 7 * wide, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))

    def forward(self, x):
        return self.logit(self.rest(x).permute(0, 2, 3, 1).flatten(1))  # channels last, as the memory already is


class Step:
    def __init__(self, compiled: bool):
        self.networks = [network.to(memory_format=torch.channels_last) for network in (Generator(), Discriminator())]
        self.optimizers = [torch.optim.Adam(network.parameters(), RATE, BETAS, fused=True) for network in self.networks]
        compiling = torch.compile if compiled else lambda function: function
        self.losses = [compiling(self.generator_loss), compiling(self.discriminator_loss)]

    def generator_loss(self, noise):
        generator, discriminator = self.networks
        return F.softplus(-discriminator(generator(noise))).mean()

    def discriminator_loss(self, real, noise):
        generator, discriminator = self.networks
        with torch.no_grad():
            fake = generator(noise)
        return (F.softplus(-discriminator(real)) + F.softplus(discriminator(fake))).mean()

    def __call__(self, images):
        real = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        for which, inputs in ((1, (real, torch.randn(BATCH, LATENT))), (0, (torch.randn(BATCH, LATENT),))):
            self.optimizers[which].zero_grad()
            self.losses[which](*inputs).backward(inputs=list(self.networks[which].parameters()))
            self.optimizers[which].step()


def main() -> None:
    steps, compiled = int(sys.argv[1]), "compiled" in sys.argv
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    images = torch.from_numpy(arrays.load("mnist", "train", steps * BATCH)[0])
    step, timing = Step(compiled), meter.Meter()
    for _ in range(2):
        timing.epoch()
        for index in torch.randperm(len(images)).split(BATCH):
            step(images.index_select(0, index))
            timing.step()
        timing.epoch_end()
    parameters = sum(p.numel() for network in step.networks for p in network.parameters())
    meter.report(parameters, timing.images_per_second(), timing.first_step_seconds, meter.since_start(),
                 meter.peak_mb())


if __name__ == "__main__":
    main()
