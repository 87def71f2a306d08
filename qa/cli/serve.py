"""Answer questions over HTTP: a page to ask in a browser, and an API.

python -m qa serve runs/korquad/best        (then open http://127.0.0.1:8000)
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qa.cli.collection import add_collection_flags, open_collection
from qa.cli.option_flags import add_option
from qa.cli.parser import Parser, run_command
from qa.cli.reader_flags import add_reader_flags, load_reader
from qa.cli.startup import no_collection, prepare_hub
from qa.engine.config import from_values
from qa.engine.errors import UserError, require
from qa.serving.options import BATCH_CHARACTERS, Collection, ServingOptions

if TYPE_CHECKING:
    import socket

    from qa.answering.reader import Reader
    from qa.retrieval.index import Index


MOST_THREADS = 1024  # more than machines have cores; torch takes no huge number


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa serve`."""
    parser = Parser(
        prog="python -m qa serve",
        description="Answer questions over HTTP: a page in the browser, and POST /answer."
        " There is no authentication: put a proxy before it where others can reach it.",
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default 127.0.0.1, this machine only; 0.0.0.0: everywhere)",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="port (default 8000; 0: a free one, printed)"
    )
    for each in fields(ServingOptions):
        add_option(parser, each)
    parser.add_argument(
        "--threads", type=int, help="CPU threads of the model (default: torch's, one a core)"
    )
    parser.add_argument(
        "--nfc",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compose decomposed Hangul (NFD) before reading (default); answers and their places"
        " are still those of the context as it was sent",
    )
    add_collection_flags(
        parser,
        "also answer questions that come without a text, from this collection, which `qa index`"
        " wrote",
        required=False,
    )
    add_reader_flags(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(
        lambda: serve(make_parser().parse_args(arguments)),
        needs_output=False,
        memory_advice="free some, or pass another --device",
    )


def serve(options: argparse.Namespace) -> None:
    """Load the reader, answer until a signal comes, and then what was taken before it."""
    limits = from_values(ServingOptions, vars(options))
    require(
        options.threads is None or 1 <= options.threads <= MOST_THREADS,
        f"--threads must be 1 to {MOST_THREADS:,}, not {options.threads}",
    )
    try:
        from qa.serving.run import bind
    except ImportError as error:
        raise UserError(
            f"qa serve needs starlette and uvicorn ({error}): pip install 'qa[serve]'"
        ) from error
    # Before the reader is loaded, so that a port that is taken is known at once.
    with bind(options.host, options.port) as server:
        index = open_collection(options)
        prepare_hub(options.model)
        with no_collection():
            if options.threads is not None:
                import torch

                torch.set_num_threads(options.threads)  # before an export takes as many
            reader = load_reader(options)
        answer(reader, index, server, limits, options)


def answer(
    reader: Reader,
    index: Index | None,
    server: socket.socket,
    limits: ServingOptions,
    options: argparse.Namespace,
) -> None:
    """Answer at a bound socket until a signal comes.

    Args:
        reader: Reads.
        index: The collection that is asked if a question comes without a context.
        server: The socket.
        limits: Those of the server.
        options: The command line's.
    """
    from qa.engine.signals import StopSignals
    from qa.open_domain.reader import OpenReader
    from qa.serving.app import Service, make_app
    from qa.serving.batcher import Batcher
    from qa.serving.hosts import known_hosts
    from qa.serving.reading import make_work, warm_up
    from qa.serving.run import Server, address

    url = address(server)
    collection = None if index is None else Collection(len(index), options.passages)
    asked = None if index is None else OpenReader(reader, index, options.passages)
    warm_up(reader, asked)
    with StopSignals() as signals:
        work = make_work(reader, options.nfc, asked)
        questions = Batcher(work, limits.max_queue, limits.max_batch, BATCH_CHARACTERS)
        name = "/".join(Path(options.model).parts[-2:])  # the whole path is nobody's business
        service = Service(questions, limits, name, reader.answerer.options.n_best_size, collection)
        hosts = known_hosts(limits.allowed_hosts, options.host, server.getsockname()[0])
        app = make_app(service, hosts)
        tell = partial(print, f"serving at {url}", flush=True)
        Server(app, limits.timeout, signals, tell).run([server])
        questions.close()
