"""Recipes for bigger models: flat files on TRL and peft, and configs for accelerate."""
