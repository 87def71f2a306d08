"""From files to batches: examples, windows, collation."""
