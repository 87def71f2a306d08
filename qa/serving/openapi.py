"""What the API takes and gives, as an OpenAPI document: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

from typing import Any

import qa
from qa.serving.options import MAX_QUESTION_LENGTH, ServingOptions

ANSWER = {
    "text": ("string", "A piece of the context; of a generative reader perhaps none."),
    "start": (
        "integer",
        "Its first character, in Unicode code points of the context from 0; -1: it is not there.",
    ),
    "end": (
        "integer",
        "The end of its characters, or -1; JavaScript counts UTF-16 units instead.",
    ),
    "score": ("number", "That of the answer, minus that of no answer, as logarithms."),
    "probability": ("number", "Softmax over the candidates of this question."),
}
OPEN_ANSWER = {
    "text": ("string", "A piece of the passage."),
    "document": ("string", "Id of the document that the passage is from."),
    "title": ("string", "Of the document; empty where it has none."),
    "start": ("integer", "First character, in Unicode code points of the document from 0."),
    "end": ("integer", "The end of its characters in the document."),
    "score": (
        "number",
        "That of the reader, less what the search puts the passage below the first.",
    ),
    "probability": ("number", "Softmax over the candidates of all passages that were read."),
    "passage": ("string", "The text that was read."),
    "start_in_passage": ("integer", "First character, in Unicode code points of the passage."),
    "end_in_passage": ("integer", "The end of its characters in the passage."),
}
FAILURES = {
    "408": "The body did not arrive in time.",
    "413": "The body, the list, a question or the contexts are too large.",
    "415": "The body is not declared as application/json.",
    "421": "The server is not known by the name in the header Host.",
    "422": "The body is not what is described here.",
    "500": "The server failed.",
    "503": "Too many questions wait already.",
    "504": "There was no answer in time.",
}


def describe(
    options: ServingOptions, max_top_k: int, has_collection: bool = False
) -> dict[str, Any]:
    """Return the document.

    Args:
        options: The server's limits.
        max_top_k: Answers that the reader ranks of each question.
        has_collection: Questions may come without a context.
    """
    asked = one_or_list("Asked", options.max_pairs)
    answer = {
        "summary": "Answer questions from their contexts",
        "requestBody": {"required": True, "content": as_json(asked)},
        "responses": {
            "200": {
                "description": "What was found, in the order of the questions.",
                "content": as_json(one_or_list("Found", options.max_pairs)),
            },
            **{code: failure(code, text) for code, text in FAILURES.items()},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "qa",
            "version": qa.__version__,
            "description": "Answers are pieces of the texts that come with the questions."
            + " Questions without a text are asked to a collection." * has_collection,
        },
        "paths": {
            "/answer": {"post": answer},
            "/health": {
                "get": {
                    "summary": "Whether questions are answered",
                    "responses": {
                        "200": {"description": "They are.", "content": as_json(ref("Health"))},
                        "503": {
                            "description": "The reader fails.",
                            "content": as_json(ref("Health")),
                        },
                    },
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Counts for Prometheus",
                    "responses": {"200": {"description": "Text format.", "content": as_text()}},
                }
            },
        },
        "components": {"schemas": schemas(options, max_top_k, has_collection)},
    }


def schemas(options: ServingOptions, max_top_k: int, has_collection: bool) -> dict[str, Any]:
    """Return the objects that are sent and returned."""
    question = {"type": "string", "minLength": 1, "maxLength": MAX_QUESTION_LENGTH}
    context = {"type": "string", "minLength": 1, "maxLength": options.max_context_length}
    top_k = {"type": "integer", "minimum": 1, "maximum": max_top_k, "default": 1}
    forms = {"Answer": ANSWER, "OpenAnswer": OPEN_ANSWER} if has_collection else {"Answer": ANSWER}
    refs = [ref(name) for name in forms]
    answers = {
        "type": "array",
        "items": {"anyOf": refs} if has_collection else refs[0],
        "description": "Best first; empty if the reader leaves the question unanswered.",
    }
    cut = {"type": "boolean", "description": "Only the end of the question was read."}
    asked: dict[str, Any] = {
        "type": "object",
        "required": ["question"] if has_collection else ["question", "context"],
        "properties": {"question": question, "context": context, "top_k": top_k},
    }
    if has_collection:
        alone = {"propertyNames": {"enum": ["question", "top_k"]}}
        asked["anyOf"] = [{"required": ["context"]}, alone]
    return {
        "Asked": asked,
        **{name: described(properties) for name, properties in forms.items()},
        "Found": whole_object({"answers": answers, "question_was_cut": cut}),
        "Failure": whole_object({"error": {"type": "string", "description": "What is wrong."}}),
        "Health": whole_object(
            {
                "status": {"type": "string"},
                "model": {"type": "string"},
                "version": {"type": "string"},
                "max_top_k": {"type": "integer"},
                "passages": {"type": "integer", "description": "Of the collection; 0: none."},
            }
        ),
    }


def described(properties: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Return the schema of an object; `properties`: name -> type and description."""
    return whole_object(
        {name: {"type": kind, "description": text} for name, (kind, text) in properties.items()}
    )


def whole_object(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def one_or_list(name: str, max_items: int) -> dict[str, Any]:
    """Return the schema of an object, or a list of such."""
    several = {"type": "array", "items": ref(name), "minItems": 1, "maxItems": max_items}
    return {"oneOf": [ref(name), several]}


def failure(code: str, text: str) -> dict[str, Any]:
    """Return what a failure is described by."""
    described: dict[str, Any] = {"description": text, "content": as_json(ref("Failure"))}
    if code == "503":
        seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        described["headers"] = {"Retry-After": seconds}
    return described


def ref(name: str) -> dict[str, str]:
    """Return a reference to one of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def as_json(schema: dict[str, Any]) -> dict[str, Any]:
    """Return content of type JSON."""
    return {"application/json": {"schema": schema}}


def as_text() -> dict[str, Any]:
    """Return content of plain text."""
    return {"text/plain": {"schema": {"type": "string"}}}
