"""Where batches come from: folders, tar shards, streams and tokens of one's own."""
