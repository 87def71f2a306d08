"""Train and use extractive question-answering readers with a loop you can read."""

__version__ = "0.1.0"
