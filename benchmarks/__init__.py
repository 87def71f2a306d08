"""Measurements side by side; never asserted in tests."""
