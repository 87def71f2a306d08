"""The generative reader: a decoder that writes the answer, token by token, copying where it can."""
