"""A start without garbage collection, which is on again afterwards, come what may."""

from __future__ import annotations

import gc

import pytest

from qa.cli.startup import no_collection


@pytest.mark.parametrize("is_on", [True, False])
def test_collection_is_off_inside_and_as_before_afterwards(is_on: bool) -> None:
    @no_collection()
    def was_enabled() -> bool:
        return gc.isenabled()

    before = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        assert not was_enabled()
        assert gc.isenabled() == is_on
        with pytest.raises(ValueError, match="broken"), no_collection():
            raise ValueError("broken")
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if before else gc.disable)()
