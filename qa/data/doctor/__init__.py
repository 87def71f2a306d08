"""What is wrong with a data set, how to mend it, and the best score a tokenizer allows on it."""
