"""Everything that arrives is checked here, waits in line, and is carved."""
