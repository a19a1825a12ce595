"""Committed results: their tables, and whether they are reproduced."""
