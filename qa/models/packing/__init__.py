"""Windows packed end to end, without padding: skip this package on a first reading."""
