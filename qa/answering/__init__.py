"""From windows to answers: options, the n best, and the `Reader` that people use."""
