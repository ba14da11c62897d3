"""EmojiEval's judge: a small detector, how it is taught, and what it says."""
