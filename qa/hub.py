"""Working without a network to the model hub."""

from __future__ import annotations

import logging
import os
import socket
from urllib.parse import urlparse

HUB_PREFIX = "hub:"
PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def names_hub_data(sources: str) -> bool:
    """Whether one of the data sources in `a.json,hub:NAME` is on the hub."""
    return any(source.strip().startswith(HUB_PREFIX) for source in sources.split(","))


def is_on_hub(model: str) -> bool:
    """Whether a model name can only be an id on the hub."""
    return not os.path.exists(model)


def use_caches_if_unreachable() -> None:
    """Let the hub libraries use only what they have on disk if the hub's host has no address.

    Otherwise they try again and again for a minute before they say so. To be called before
    transformers and datasets are imported, since they read the variable once. Behind a proxy
    nothing is assumed: there a host need not have an address to be reached.
    """
    # Five warnings for each file it cannot reach, before the error that says it all.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if "HF_HUB_OFFLINE" in os.environ or any(name in os.environ for name in PROXY_VARIABLES):
        return
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
