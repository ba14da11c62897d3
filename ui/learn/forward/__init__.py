"""Chapter: masks and flips, the forward process."""
