"""EmojiEval: prompts, rules, controls, and the table. `python -m trainer evaluate --help`."""
