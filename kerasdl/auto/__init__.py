"""The best model for some data within some minutes, next to what it has to beat: `kerasdl auto`."""
