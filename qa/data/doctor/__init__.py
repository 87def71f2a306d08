"""What is wrong with a data set, what mends it, and what a tokenizer can reach on it."""
