"""Find the passages of a collection that may answer a question."""
