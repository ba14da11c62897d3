"""Learn as a place of its own."""
