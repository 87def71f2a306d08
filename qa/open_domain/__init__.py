"""Questions to a collection: a search finds passages, a reader reads them, both are weighed."""
