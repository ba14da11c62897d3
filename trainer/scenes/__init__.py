"""Scenes with a true caption: what stands where, what it is called, how it is drawn."""
