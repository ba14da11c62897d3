"""What each command can be asked: one class a command, whose fields are its flags. Nothing here imports PyTorch."""
