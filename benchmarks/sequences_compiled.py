"""PyTorch compiled by inductor on a row of sequences: python -m benchmarks.sequences_compiled ROW."""

from benchmarks.sequences_torch import main

if __name__ == "__main__":
    main(compiled=True)
