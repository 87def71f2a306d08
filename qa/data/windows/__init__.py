"""Windows: a question with one slice of its context, in tokens, cut, labelled and cached."""
