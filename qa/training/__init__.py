"""What surrounds the loop of train.py: the data and the model, the files and the evaluations."""
