"""A chapter as one file."""
