"""Chapter: what a token is."""
