"""What a prompt names, and what the model knows."""
