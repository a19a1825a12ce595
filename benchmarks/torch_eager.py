"""PyTorch as it comes, in its best mode on a processor: python -m benchmarks.torch_eager ROW PRECISION STEPS.

The images are uint8 tensors in memory and a batch is gathered by a random permutation; no loader and no workers.
Convolutions are channels-last, the optimizer is fused, attention is scaled_dot_product_attention, bfloat16 is autocast;
loss and accuracy are added up in tensors and read once an epoch.
"""

import os

import torch
import torch.nn.functional as F

from benchmarks import arrays, meter, torch_models
from benchmarks.rows import BATCH, EPSILON, MOMENTUM, Row

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))


def optimizer(row: Row, model: torch.nn.Module) -> torch.optim.Optimizer:
    if row.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), row.lr, MOMENTUM, nesterov=True, fused=True)
    kernels = [layer.weight for layer in model.modules() if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d))]
    others = [p for p in model.parameters() if not any(p is kernel for kernel in kernels)]
    groups = [{"params": kernels, "weight_decay": row.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, row.lr, eps=EPSILON, fused=True)


def tensors(row: Row, split: str, images: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, H, W, C) uint8 and labels. A batch of them, permuted, is channels-last already."""
    x, y = arrays.load(row.data, split, images)
    return torch.from_numpy(x), torch.from_numpy(y)


class Training:
    """A network, its optimizer and its sums of loss and of right answers."""

    def __init__(self, row: Row, name: str, precision: str, compiled: bool, seed: int = 0):
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        self.row, self.model = row, torch_models.build(name)
        self.optimizer = optimizer(row, self.model)
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16")
        self.forward = torch.compile(self._forward) if compiled else self._forward

    def _forward(self, x, y):
        x = x.permute(0, 3, 1, 2).float() * ((1 - self.row.low) / 255) + self.row.low
        with self.autocast:
            logits = self.model(x).float()
        return F.cross_entropy(logits, y), (logits.detach().argmax(1) == y).sum()

    def step(self, x, y):
        loss, right = self.forward(x, y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach(), right

    def epoch(self, x, y, each_step=lambda: None) -> tuple[float, float]:
        """Loss and accuracy of a pass over the images in a new order."""
        self.model.train()
        losses, rights = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for index in torch.randperm(len(x)).split(BATCH):
            loss, right = self.step(x.index_select(0, index), y.index_select(0, index))
            losses += loss
            rights += right
            each_step()
        return losses.item() * BATCH / len(x), rights.item() / len(x)

    @torch.inference_mode()
    def accuracy(self, x, y, batch=1000) -> float:
        """On images in order; eager, so that nothing is compiled for it."""
        self.model.eval()
        return sum(self._forward(*pair)[1].item() for pair in zip(x.split(batch), y.split(batch), strict=True)) / len(x)


def main(compiled: bool = False) -> None:
    row, name, precision, steps = meter.arguments()
    images, epochs = row.epochs(steps)
    x, y = tensors(row, "train", images)
    training = Training(row, name, precision, compiled)
    timing = meter.Meter()
    for _ in range(epochs):
        timing.epoch()
        loss, _ = training.epoch(x, y, timing.step)
        timing.epoch_end()
    accuracy = training.accuracy(*tensors(row, "test", row.test_images))
    parameters = sum(p.numel() for p in training.model.parameters())
    meter.report(parameters, timing.images_per_second(), timing.first_step_seconds, meter.since_start(),
                 meter.peak_mb(), accuracy=accuracy, loss=loss)


if __name__ == "__main__":
    main()
