"""Smaller networks, by surgery on a keras.Model: batch normalisation folded, filters removed, weights set to zero, and
numbers of few bits that are learned.

It takes networks and returns networks. Trainings use it by fields of a recipe, `prune`, `prune_channels` and
`quantize`; the command that tries several of them on a run is kerasdl.deploy.compress.
"""
