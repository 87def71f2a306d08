"""The embedded data: Korean passages and questions made on the spot, and their tokenizer."""
