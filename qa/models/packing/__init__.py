"""Windows packed end to end: skip this room on a first reading."""
