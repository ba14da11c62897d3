"""Our own family: a bidirectional transformer over an image tokenizer on a lattice."""
