"""Each kind of model that may be exported, beside torch, on windows of other sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.tiny_models import MAX_LENGTH, make_model, make_windows, packed

from qa.engine.errors import UserError
from qa.export.onnx_file import PACKAGES, write_onnx
from qa.export.wrapper import TESTED_TYPES
from qa.models.model_io import SpanScores
from qa.models.onnx_reader import OnnxReader
from qa.models.pair_head import PairHead
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = ([1], [MAX_LENGTH], [5, 17, 2], [40, 64, 3, 9, 1])


def assert_same_scores(reader: SpanReader, exported: OnnxReader, with_types: bool) -> None:
    """Compare with the reader, which packs these windows where it can."""
    for lengths in LENGTHS:
        batch = packed(make_windows(lengths, seed=len(lengths), with_types=with_types))
        batch["num_characters"] = torch.arange(sum(lengths)) % 11
        with torch.no_grad():
            expected = reader(**batch)
        actual = exported(**batch)
        assert isinstance(actual, SpanScores)
        # Behind a window's end nothing reads trims.
        is_token = ~expected.start_logits.isinf()
        for mine, theirs in zip(actual, expected, strict=True):
            if mine is None or theirs is None:
                assert mine is theirs
                continue
            torch.testing.assert_close(mine[is_token], theirs[is_token], rtol=0, atol=5e-5)
        assert torch.equal(actual.end_logits.isinf(), ~is_token)


def make_pair_head(reader: SpanReader) -> PairHead:
    """A head whose scores are far from 0."""
    head = PairHead(reader.model.config.hidden_size, width=7)
    for part in (head.last, head.lengths):
        torch.nn.init.normal_(part.weight, std=0.5)
    return head


@pytest.mark.slow
@pytest.mark.parametrize("kind", TESTED_TYPES)
def test_an_exported_model_scores_as_torch(kind: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        pytest.importorskip(package, reason="needs qa[export]")
    torch.manual_seed(0)
    reader = SpanReader(make_model(kind), boundaries=kind != "electra").eval()
    if kind in ("bert", "electra"):  # beside the boundary head, and alone
        reader.pair_head = make_pair_head(reader)
    with_types = reader.model.config.model_type in ("bert", "roberta", "electra")
    write_onnx(reader, tmp_path / "model.onnx", with_types)
    exported = OnnxReader(tmp_path / "model.onnx")
    assert exported.max_length == reader.max_length
    assert exported.padding_id == reader.padding_id
    assert "num_characters" in exported.input_names
    assert_same_scores(reader, exported, with_types)


def test_a_model_whose_export_is_not_tested_is_refused_by_name(tmp_path: Path) -> None:
    reader = SpanReader(make_model("convbert")).eval()
    with pytest.raises(UserError, match="ConvBertForQuestionAnswering: the export of convbert"):
        write_onnx(reader, tmp_path / "model.onnx", False)
    assert not list(tmp_path.iterdir())
