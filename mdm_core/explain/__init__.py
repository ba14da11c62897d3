"""What a model thought at one place and step, and what a prompt names that it knows."""
