"""The command lines: one file per command."""
