"""The report: what a reader gets wrong, as one HTML file made of prediction files alone.

`predicted.py` reads the files, `judged.py` sets each prediction beside its gold answers and
`kinds.py` names what became of it. `gains.py`, `buckets.py`, `calibration.py`, `share_answered.py`,
`no_answer.py` and `comparison.py` are a figure each; `page.py` puts `content.py` into `page.html`.
No model, no torch.
"""
