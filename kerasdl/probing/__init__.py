"""What the features of a run are worth: frozen and fine-tuned, with few labels and with all, next to controls."""
