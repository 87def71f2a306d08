"""The span reader: encoder, span head, loss and n-best decoding."""
