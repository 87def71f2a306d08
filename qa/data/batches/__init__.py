"""Which windows are read together, and the tensors made of them."""
