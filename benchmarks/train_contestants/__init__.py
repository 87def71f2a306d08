"""The contestants of `benchmarks.train`, and what they share."""
