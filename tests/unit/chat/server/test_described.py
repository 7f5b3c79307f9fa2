"""The OpenAPI document is true: requests made of it get documented replies, and none is a fault of the server."""

import json

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scripted_server import saying, served

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/models/{name}", "/health",
         "/metrics"]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    batch, _ = saying("Hello", longest=4096)
    with served({"m": batch}) as made:
        yield made


@pytest.fixture(scope="module")
def document(server):
    return httpx.get(f"{server.at}/openapi.json").json()


def test_every_path_is_described_and_nothing_is_supposed(document):
    assert sorted(document["paths"]) == sorted(PATHS)
    for methods in document["paths"].values():
        for told in methods.values():
            assert "422" not in told["responses"]
            assert {"401", "403", "429", "500", "503"} <= told["responses"].keys()
    assert "HTTPValidationError" not in json.dumps(document)
    assert "200" not in document["paths"]["/v1/embeddings"]["post"]["responses"]
    assert "text/event-stream" in document["paths"]["/v1/completions"]["post"]["responses"]["200"]["content"]


@pytest.mark.parametrize("path", PATHS)
def test_requests_made_of_the_document_get_what_it_says(path, server, document):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=server.at)
    operation = next(iter(schema[path].values()))
    calls = []

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @schemathesis_given(operation)
    def ask(case):
        reply = case.call(timeout=20)
        calls.append(reply.status_code)
        case.validate_response(reply, checks=CHECKS)

    ask()
    assert calls


def schemathesis_given(operation):
    from hypothesis import given

    return given(case=operation.as_strategy())
