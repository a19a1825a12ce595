"""PyTorch through torch.compile: python -m benchmarks.torch_compiled ROW PRECISION STEPS. See torch_eager."""

from benchmarks import torch_eager

if __name__ == "__main__":
    torch_eager.main(compiled=True)
