"""Runs for other people: a model card, and a repository on Hugging Face."""
