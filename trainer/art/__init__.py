"""The sprite atlas: whose art it is, how it is drawn, and how it is looked at."""
