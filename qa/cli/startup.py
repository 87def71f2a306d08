"""What a command does before its heavy imports: a quicker start, also without a network."""

from __future__ import annotations

import gc
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse

from qa.config import EMBEDDED

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch garbage collection off inside the context, or in a function that this decorates.

    Importing torch and transformers makes a million objects, all of which stay: searching them for
    garbage over and over takes a quarter of the start; of the candidates of a report a tenth of it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def prepare_hub(model: str | None, *data: str | None) -> None:
    """Make the hub libraries use only what they have on disk if the hub's host has no address.

    Otherwise they try again for a minute before they fail. This must be called before transformers
    and datasets are imported, since they read HF_HUB_OFFLINE once. Behind a proxy nothing is
    changed: there a host need not have an address to be reached.

    Args:
        model: Directory or hub id; None if no model is loaded.
        data: Data sources as `train.py` takes them; None for one that is not given. If neither
            model nor data can be on the hub, nothing is changed.
    """
    from qa.data.formats.hub import names_hub_data

    model_is_local = model in (None, EMBEDDED) or os.path.exists(str(model))
    if model_is_local and not any(map(names_hub_data, filter(None, data))):
        return
    # It logs five warnings for each file that it cannot reach, before the error that tells all.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if "HF_HUB_OFFLINE" in os.environ or any(name in os.environ for name in PROXY_VARIABLES):
        return
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
