"""Measures and photographs the studio in a real browser; a wheel leaves it out, for it needs a clone."""
