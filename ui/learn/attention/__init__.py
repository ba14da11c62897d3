"""Where a cell looks: a part of the chapter on one step."""
