"""A page that runs a model on the visitor's own machine: its files, and what they have to know of a run."""
