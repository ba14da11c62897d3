"""You are the sampler: a chapter of Learn."""
