"""The state of a training, saved and restored."""
