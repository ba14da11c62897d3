"""What is drawn: grounds, and sprites on them."""
