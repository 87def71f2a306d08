"""From files to batches: examples, windows and their collation."""
