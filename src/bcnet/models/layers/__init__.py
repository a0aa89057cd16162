"""Layers and parts of layers that several methods use."""
