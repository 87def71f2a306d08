"""What counts words: BM25 over the tokens of passages, by tantivy or by SQLite's FTS5."""
