"""A file a recipe. `kerasdl list` shows them, `kerasdl show NAME` one of them."""
