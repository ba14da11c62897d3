"""Chapter: one step of the model, from prompt to pixels."""
