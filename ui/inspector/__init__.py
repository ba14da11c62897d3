"""One token looked into."""
