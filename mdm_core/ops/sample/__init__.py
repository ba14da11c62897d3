"""One sampling step's decision data from hidden states: reference, PyTorch, Triton."""
