"""What is asked and answered, as the OpenAPI document says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

LARGEST_COUNT = 10**12


class Wishes(BaseModel):
    """What a trace should be like. Query parameters, or fields of the form."""

    model_config = ConfigDict(extra="forbid")

    min_ssim: Annotated[float | None, Field(gt=0, le=1, description="at least this much alike: SSIM")] = None
    max_bytes: Annotated[int | None, Field(ge=1, le=LARGEST_COUNT, description="at most this large")] = None
    max_paths: Annotated[int | None, Field(ge=1, le=LARGEST_COUNT, description="at most so many paths")] = None
    mode: Annotated[Literal["auto", "curves", "polygon"], Field(description="what outlines are made of")] = "auto"
    preset: Annotated[str | None, Field(max_length=100, description="trace with this preset alone")] = None
    side: Annotated[int | None, Field(ge=8, le=100_000, description="make the image's longest side this, or less")] = (
        None
    )
    stream: Annotated[bool, Field(description="answer with a line of JSON for every step")] = False


class FrontWishes(BaseModel):
    """What the traces of a front should be like."""

    model_config = ConfigDict(extra="forbid")

    mode: Annotated[Literal["auto", "curves", "polygon"], Field(description="what outlines are made of")] = "auto"
    more: Annotated[int, Field(ge=0, le=32, description="settings to try beside the presets")] = 8
    side: Annotated[int | None, Field(ge=8, le=100_000, description="make the image's longest side this, or less")] = (
        None
    )


class Fault(BaseModel):
    """What went wrong."""

    message: str
    code: str
    setting: str
    next: str


class FaultReply(BaseModel):
    """Every reply that is no success."""

    error: Fault


class Parameters(BaseModel):
    """VTracer's parameters."""

    mode: Literal["spline", "polygon", "none"]
    color_precision: int
    layer_difference: int
    corner_threshold: int
    length_threshold: float
    max_iterations: int
    splice_threshold: int
    path_precision: int
    filter_speckle: int


class Measured(BaseModel):
    """What came of a setting."""

    ssim: float
    ssim_active: float
    bytes: int
    tracer_bytes: int
    """Of the same shapes as VTracer writes them."""
    paths: int
    nodes: int
    curved: float
    kinks: float
    grid: int
    """Steps a pixel is divided into."""
    trace_s: float


class Predicted(BaseModel):
    """What was predicted of a setting, with 90 % intervals."""

    ssim: float
    ssim_low: float
    ssim_high: float
    bytes: float
    bytes_low: float
    bytes_high: float
    paths: float
    paths_low: float
    paths_high: float


class Tried(BaseModel):
    """One setting that was traced."""

    preset: str
    setting: Parameters
    predicted: Predicted | None
    measured: Measured | None
    why: str = Field(description="why it was traced, or how the tracer failed")
    verified: float | None = Field(None, description="ssim as resvg draws it, where that was asked")


class TraceReply(BaseModel):
    """The trace that fits the wish best."""

    svg: str
    width: int
    height: int
    transparent: bool
    preset: str
    setting: Parameters
    predicted: Predicted | None
    measured: Measured
    why: str
    verified: float | None = Field(description="ssim as resvg draws it")
    unfamiliar: bool = Field(description="whether the image is unlike those that the predictor learned from")
    granted: bool = Field(description="whether everything that was wished for is so")
    needed: str = Field(description="what a wish that is not granted would take")
    tried: list[Tried]
    decisions: list[str] = Field(description="how it was chosen")
    notes: list[str] = Field(description="what was done to the image before")


class About(BaseModel):
    """What this server is and takes."""

    tracer: str
    predictor: bool
    presets: dict[str, Parameters]
    limits: dict[str, float]


class Health(BaseModel):
    """How the server is."""

    status: Literal["ready", "stopping"]
    under_way: int
    waiting: int


FAULTS = {
    400: "no image, a damaged one, or a wrong value", 401: "no key, or an unknown one",
    403: "a host or an origin that may not ask", 404: "nothing is served here", 405: "another method is served here",
    408: "the image did not come in time", 413: "the image is too large",
    422: "the tracer failed on this image, or took too long", 500: "a fault of the server",
    503: "too many images at once, or the server is stopping: see Retry-After",
}  # fmt: skip
LINES = {"schema": {"type": "string"}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def replies(shape: type[BaseModel] | None, lines: bool = False) -> dict[str, Any]:
    """What a route is told of its replies; `lines`: it may answer with a line of JSON for every step."""
    told: dict[int | str, dict[str, Any]] = {
        status: {"model": FaultReply, "description": about} for status, about in FAULTS.items()
    }
    told[200] = {"description": "done"}
    if shape:
        told[200]["model"] = shape
    if lines:
        told[200]["content"] = {"application/x-ndjson": LINES}
    if shape is Health:
        told[503] = {"model": Health, "description": "the server is stopping"}
    return {"responses": told}


def upload(wishes: type[BaseModel]) -> dict[str, Any]:
    """The request's body: an image's bytes, or a form with the image and the wishes."""
    fields = wishes.model_json_schema()["properties"]
    file = {"type": "string", "format": "binary", "description": "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, ICO, TGA, PPM"}
    form = {"type": "object", "properties": {"image": file, **fields}, "required": ["image"]}
    content = {"application/octet-stream": _BINARY, "image/png": _BINARY, "multipart/form-data": {"schema": form}}
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}}}


def mend(made: FastAPI) -> None:
    """Take out of the document what FastAPI supposes, and say which paths need the key."""
    original = made.openapi

    def openapi() -> dict[str, Any]:
        if made.openapi_schema is None:
            document = original()
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, methods in document["paths"].items():
                for told in methods.values():
                    told["security"] = [] if path == "/health" else [{}, {"key": []}]
                    if path == "/v1/front":
                        told["responses"]["200"]["content"].pop("application/json", None)
        assert made.openapi_schema is not None
        return made.openapi_schema

    made.openapi = openapi  # type: ignore[method-assign]
