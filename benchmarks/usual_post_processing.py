"""N-best post-processing in Python, as transformers' question-answering script does it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from qa.data.examples import Example

N_BEST_SIZE = 20
MAX_ANSWER_LENGTH = 30


def usual_post_processing(
    examples: list[Example], windows: Any, logits: tuple[np.ndarray, np.ndarray], folder: Path
) -> dict[str, str]:
    """What transformers' question-answering script makes of its logits: id -> answer.

    logits: (windows, tokens) of starts and of ends.
    """
    of_example = defaultdict(list)
    for index, example_id in enumerate(windows["example_id"]):
        of_example[example_id].append(index)
    answers, n_bests = {}, {}
    for example in examples:
        found = []
        for index in of_example[example.id]:
            start_logits, end_logits = logits[0][index], logits[1][index]
            offsets = windows[index]["offset_mapping"]
            starts = np.argsort(start_logits)[-1 : -N_BEST_SIZE - 1 : -1].tolist()
            ends = np.argsort(end_logits)[-1 : -N_BEST_SIZE - 1 : -1].tolist()
            for start in starts:
                for end in ends:
                    if max(start, end) >= len(offsets) or not offsets[start] or not offsets[end]:
                        continue
                    if end < start or end - start + 1 > MAX_ANSWER_LENGTH:
                        continue
                    span = (offsets[start][0], offsets[end][1])
                    found.append({"span": span, "score": start_logits[start] + end_logits[end]})
        n_best = sorted(found, key=lambda answer: answer["score"], reverse=True)[:N_BEST_SIZE]
        n_best = n_best or [{"span": (0, 0), "score": 0.0}]
        scores = np.array([answer["score"] for answer in n_best])
        exponentials = np.exp(scores - scores.max())
        probabilities = exponentials / exponentials.sum()
        for answer, probability in zip(n_best, probabilities, strict=True):
            start, end = answer.pop("span")
            answer["text"] = example.context[start:end]
            answer["score"], answer["probability"] = float(answer["score"]), float(probability)
        answers[example.id] = n_best[0]["text"]
        n_bests[example.id] = n_best
    for name, content in (("predictions.json", answers), ("nbest_predictions.json", n_bests)):
        text = json.dumps(content, indent=4, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    return answers
