"""Uploading a reader to the Hugging Face hub, through huggingface_hub."""

from __future__ import annotations

import shlex
from pathlib import Path

from qa.engine.errors import UserError, require, short_reason

# A head of another model would be taken for this one's; other files are the person's.
# Whole names, since * would reach into other folders.
OF_READERS = [
    *("model.safetensors", "model-?????-of-?????.safetensors", "model.safetensors.index.json"),
    *("boundary_head.safetensors", "pair_head.safetensors", "decoder.safetensors"),
    *("model.onnx", "export.json"),
]
LOG_IN = "`hf auth login` stores one, or set HF_TOKEN"


def check_upload(repo_id: str) -> None:
    """Raise UserError if an upload is sure to fail: a malformed id, or no token.

    The hub is not asked, so that a training can start without network.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
        is_whole = repo_id.count("/") == 1
    except HFValidationError:
        is_whole = False
    require(is_whole, f"{repo_id!r}: is no id of the hub; pass OWNER/NAME, e.g. me/korquad-reader")
    require(get_token(), f"{repo_id}: there is no token of the hub to upload with; {LOG_IN}")


def upload(directory: Path, repo_id: str, private: bool) -> str:
    """Upload the files of a reader and return its address; the repository is made if need be.

    What an earlier reader left there and this one has not is removed in the same commit.

    Args:
        directory: The reader's; what is there stays as it is.
        repo_id: OWNER/NAME.
        private: Whether a new repository is private. One that is there stays what it is.

    Raises:
        UserError: It failed; the message says why and which command tries again.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repo_id, private=private or None, exist_ok=True)
        message = "Upload a reader of qa"
        api.upload_folder(
            repo_id=repo_id,
            folder_path=directory,
            commit_message=message,
            delete_patterns=OF_READERS,
        )
    # Whatever it is, it comes from the network or the hub; which library tells it differs from one
    # version of huggingface_hub to the next.
    except Exception as error:
        again = f"python -m qa push {shlex.quote(str(directory))} {repo_id}"
        again += " --private" * private
        raise UserError(
            f"{repo_id}: the upload failed ({reason_of(error)}); {directory} is safe on disk, and"
            f" this tries again: {again}"
        ) from error
    return str(address)


def reason_of(error: Exception) -> str:
    """Return in words why an upload failed."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        return f"401: the hub does not know the token; {LOG_IN}"
    if status == 403:
        return (
            "403: the token may not write there; it needs the right to write, and the owner yours"
        )
    if status is not None:
        return f"{status}: {short_reason(str(error)) or 'refused'}"
    return short_reason(str(error)) or type(error).__name__
