"""Data preparation, recipes and export of the shipped model."""
