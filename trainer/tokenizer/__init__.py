"""The image tokenizer: its training, its data, its figures."""
