"""Sanity checks: whether a method's maps depend on the weights, find what decides, and beat maps that know nothing."""
