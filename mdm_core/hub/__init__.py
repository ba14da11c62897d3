"""Models as others publish them: their names, where the hub's cache keeps them, what their files say. All offline."""
