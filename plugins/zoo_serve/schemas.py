"""Schemas of the JSON requests and responses, from which the OpenAPI description is generated."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class InputPrediction(BaseModel):
    """The prediction for one input; its fields depend on the task."""

    input: str | list[str] = Field(
        description="name of the image, the text, or both texts of a pair"
    )
    label: str | None = Field(None, description="single-label: the most likely class")
    labels: list[str] | None = Field(
        None, description="multi-label: the classes above the threshold, the most likely first"
    )
    probabilities: dict[str, float] | None = Field(
        None, description="probability of each class, in [0, 1], the most likely first"
    )
    values: dict[str, float] | None = Field(
        None, description="regression: value of each target, in the units of the training data"
    )
    intervals: dict[str, tuple[float, float]] | None = Field(
        None, description="regression, with 'coverage': lowest and highest value of each target"
    )
    prediction_set: list[str] | None = Field(
        None, description="single-label, with 'coverage': the classes that hold the true one"
    )
    rejected: bool | None = Field(
        None, description="with 'reject': whether the input is unlike the training data"
    )
    ood: float | None = Field(
        None, description="with 'reject': share of validation samples that are more like it"
    )
    unread: list[str] | None = Field(
        None,
        description="parts of the input that the model did not see: 'end' of a truncated text; further "
        "'frames' or 'bands' of an image; 'halved': 16-bit color read as 8-bit; 'nodata' pixels; "
        "pixels 'beyond' the run's value range; sides cut off by the 'crop'",
    )


class Seconds(BaseModel):
    """Timings of a request."""

    forward: float = Field(description="forward pass, shared with other requests of the batch")
    total: float = Field(description="from the request being read to the response")


class Predictions(BaseModel):
    """One prediction per input, in the order given."""

    predictions: list[InputPrediction]
    seconds: Seconds


class Texts(BaseModel):
    """Request body for runs on texts."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": ["a fine film", "a dull one"]}]}
    )
    texts: list[str] = Field(min_length=1)


class TextPairs(BaseModel):
    """Request body for runs on text pairs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"texts": [["a dog runs", "an animal moves"]]}]},
    )
    texts: list[tuple[str, str]] = Field(min_length=1)


class Health(BaseModel):
    """State of the server."""

    status: str = "ok"
    waiting: int = Field(description="requests being received, preprocessed or computed")


class Model(BaseModel):
    """The served model."""

    run: str = Field(description="name of the run folder")
    backbone: str = Field(description="canonical name")
    task: str = Field(description="single-label, multi-label or regression")
    modality: str = Field(description="kind of input, such as image or text")
    files: bool = Field(description="whether inputs are files, such as images")
    nouns: str = Field(description="plural noun for the inputs; the form field of files")
    accept: str = Field(description="file types that the page offers, as HTML's accept")
    takes: str = Field(description="the input, in a few words")
    pairs: bool = Field(description="whether inputs are text pairs")
    classes: list[str] = Field(description="class names, or target columns")
    has_classes: bool = Field(description="whether the outputs are classes, not regression targets")
    outputs: dict[str, str] = Field(
        description="noun for the outputs: singular (one) and plural (several)"
    )
    input: dict[str, Any] = Field(description="input specification, as in run.json")
    metrics: dict[str, float | None] = Field(description="on the validation split")
    weights: dict[str, str | None] = Field(
        description="pretrained weights: tag and license; license of the model's code"
    )
    limits: dict[str, int] = Field(description="limits on one request")


class ListedMistake(BaseModel):
    """A misclassified validation sample."""

    number: int
    input: list[str] = Field(description="file name of the image, or texts")
    truth: list[str | float]
    predicted: list[str | float]
    probability: float | None
    image: str | None = Field(description="path of a JPEG thumbnail, if the file still exists")


class MistakesPage(BaseModel):
    """Misclassified validation samples, the most confident first."""

    count: int = Field(description="number of misclassified samples")
    of: int = Field(description="number of validation samples")
    shown: bool = Field(description="whether this server shows them")
    mistakes: list[ListedMistake]


class Error(BaseModel):
    """An error response."""

    error: str
    given: str
    expected: str


class ServedRun(BaseModel):
    """A run among several."""

    name: str
    path: str
    backbone: str
    task: str


class ServedRuns(BaseModel):
    """Response of ``GET /runs``."""

    runs: list[ServedRun]
