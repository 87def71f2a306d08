"""The leg of Korean morphemes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.indexes import DOCUMENTS, fill

from qa.engine.errors import UserError
from qa.retrieval.documents import Document
from qa.retrieval.index import Index
from qa.retrieval.settings import IndexSettings

SETTINGS = IndexSettings(korean=True)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(UserError, match=r"needs kiwipiepy .* pip install 'qa\[korean\]'"):
        fill(tmp_path, settings=SETTINGS)


def test_an_index_with_morphemes(tmp_path: Path) -> None:
    pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed: 0.1 GB")
    from qa.retrieval.korean import morphemes

    assert morphemes("서울에서 GDP가 3.5% 늘었다.")[:4] == ["서울", "에서", "gdp", "가"]
    fill(tmp_path, settings=SETTINGS)
    index = Index.open(tmp_path)
    assert index.search("산의 서쪽에 있는 절은?", 1)[0].passage.text == DOCUMENTS[3].text


def test_a_verb_in_another_form(tmp_path: Path) -> None:
    """It shares no pair of letters with the passage."""
    pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed: 0.1 GB")
    documents = [Document("a", "", "형이 밥을 지었다."), Document("b", "", "형이 밥을 먹었다.")]
    fill(tmp_path / "pairs", documents)
    assert Index.open(tmp_path / "pairs").search("먹고", 1) == []
    fill(tmp_path / "both", documents, SETTINGS)
    (hit,) = Index.open(tmp_path / "both").search("먹고", 1)
    assert hit.passage.document == "b"
