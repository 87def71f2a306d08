"""Which windows are batched together, and the tensors made of them."""
