"""Does credit for neighbouring tokens pay? Grounds, arms, the queue that runs them, and what comes of it."""
