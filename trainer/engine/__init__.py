"""The training loop, its steps, its state, its optimisers, and the devices it runs on."""
