"""The OpenAPI document is true: requests made of it get documented replies, and none is a fault of the server."""

import json

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from svg_server import logo, png

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PATHS = ["/health", "/v1/about", "/v1/front", "/v1/trace"]


@pytest.fixture(scope="module")
def document(server):
    return httpx.get(f"{server.at}/openapi.json").json()


def test_every_path_is_described_and_nothing_is_supposed(document):
    assert sorted(document["paths"]) == PATHS
    for methods in document["paths"].values():
        for told in methods.values():
            assert {"400", "401", "403", "413", "422", "503"} <= told["responses"].keys()
    assert "HTTPValidationError" not in json.dumps(document)
    trace = document["paths"]["/v1/trace"]["post"]
    assert {one["name"] for one in trace["parameters"]} >= {"min_ssim", "max_bytes", "max_paths", "mode", "preset"}
    form = trace["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"image", "min_ssim", "mode"} <= form.keys()
    assert list(document["paths"]["/v1/front"]["post"]["responses"]["200"]["content"]) == ["application/x-ndjson"]


def test_a_trace_is_what_the_document_says(server, document):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=server.at)
    case = schema["/v1/trace"]["POST"].Case(query={"max_bytes": 5000}, body=png(logo(16)), media_type="image/png")
    case.validate_response(case.call(timeout=30), checks=CHECKS)


@pytest.mark.parametrize("path", PATHS)
def test_requests_made_of_the_document_get_what_it_says(path, server, document):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=server.at)
    operation = next(iter(schema[path].values()))
    calls = []

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def ask(case):
        reply = case.call(timeout=20)
        calls.append(reply.status_code)
        case.validate_response(reply, checks=CHECKS)

    ask()
    assert calls
