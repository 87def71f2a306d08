"""From a reader to an ONNX file that keeps its exact match: graph, smaller forms, gate.

`wrapper.py` is what is exported, `onnx_file.py` writes it, `forms.py` makes it smaller, `gate.py`
compares, `search.py` chooses, `directory.py` writes what `Reader` loads. The packages that this
needs are the extra `export`; they are imported in functions only.
"""
