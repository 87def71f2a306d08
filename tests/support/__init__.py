"""What tests share: texts, tokenizers, tiny models, runs of train.py."""
