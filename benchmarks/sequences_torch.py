"""PyTorch in its best mode on a row of sequences: python -m benchmarks.sequences_torch ROW."""

import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import meter
from benchmarks.sequences import EPOCHS, ROWS, Row


class Recurrent(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.embedding = nn.Embedding(row.vocabulary, row.width) if row.vocabulary else nn.Identity()
        cell = {"gru": nn.GRU, "lstm": nn.LSTM}[row.cell]
        self.cells = cell(row.width if row.vocabulary else 1, row.width, row.depth, batch_first=True)
        self.head = nn.Linear(row.width, row.classes)

    def forward(self, x):
        return self.head(self.cells(self.embedding(x))[0][:, -1])


class Block(nn.Module):
    """Before each branch a normalisation; queries, keys and values from one product."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        qkv = self.qkv(self.norm1(x)).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, row: Row, heads: int = 4):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(row.vocabulary, row.width), nn.Embedding(row.length, row.width)
        self.blocks = nn.Sequential(*(Block(row.width, heads) for _ in range(row.depth)))
        self.norm = nn.LayerNorm(row.width)

    def forward(self, x):
        x = self.tokens(x) + self.positions.weight
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def main(compiled: bool = False) -> None:
    row = ROWS[sys.argv[1]]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    x, y = row.arrays()
    x = torch.from_numpy(x)
    y = x[:, 1:].long() if y is None else torch.from_numpy(y).long()
    x = x[:, :-1].long() if not row.classes else x.long() if row.vocabulary else x
    model = Gpt(row) if row.cell == "gpt" else Recurrent(row)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def loss_of(x, y):
        return F.cross_entropy(model(x).flatten(0, -2), y.flatten())

    forward = torch.compile(loss_of) if compiled else loss_of
    began, first, rates = time.perf_counter(), None, []
    for _ in range(EPOCHS):
        for step, index in enumerate(torch.randperm(len(x)).split(row.batch)):
            forward(x[index], y[index]).backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 0:
                mark = time.perf_counter()
                first = first or mark - began
        rates.append(step / (time.perf_counter() - mark))
    meter.say(parameters=sum(p.numel() for p in model.parameters()), steps_per_second=max(rates),
               first_step_seconds=first, total_seconds=meter.since_start())


if __name__ == "__main__":
    main()
