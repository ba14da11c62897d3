"""One whole recipe per run; each file opens with its command, its cost and what came out."""
