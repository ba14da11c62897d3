"""Pictures of unknown origin, and the masks and locks that lie over them."""
