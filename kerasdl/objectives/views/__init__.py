"""Objectives that compare views of an image: what they share."""

from kerasdl.objectives.views.base import Views, ViewSettings

__all__ = ["ViewSettings", "Views"]
