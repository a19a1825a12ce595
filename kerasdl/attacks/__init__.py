"""Attacks: images that a classifier gets wrong, each within a budget of grey levels of an image that it gets right."""
