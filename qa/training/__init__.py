"""What surrounds the loop of train.py."""
