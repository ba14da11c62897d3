"""The canvas and its time."""
