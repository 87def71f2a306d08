"""From windows to answers: options, n-best, and the reader that people use."""
