"""A reader behind an address: one model thread that batches what waits, an API and a page."""
