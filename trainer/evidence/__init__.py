"""Tables, ablations, cards and sheets: what is claimed, from records."""
