"""The JSON that the server gives, as types; its OpenAPI description comes from them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class InputPrediction(BaseModel):
    """What the run says of one input; which of the fields there are depends on its task."""

    input: str | list[str] = Field(description="name of the image, the text, or both of a pair")
    label: str | None = Field(None, description="single-label: the likeliest class")
    labels: list[str] | None = Field(
        None, description="multi-label: the classes that reach the threshold, the likeliest first"
    )
    probabilities: dict[str, float] | None = Field(
        None, description="class to number in [0, 1], the likeliest first"
    )
    values: dict[str, float] | None = Field(
        None, description="regression: column to number, in the units of the training data"
    )
    unread: list[str] | None = Field(
        None,
        description="what of the input the network did not see: the 'end' of a text that is longer "
        "than it reads; of an image with several 'frames' or more 'bands' than three those after "
        "the first; the lower 8 of 16 bits a color ('halved'); pixels without data ('nodata') or "
        "'beyond' the run's range of grey; the sides that the 'crop' cuts off",
    )


class Seconds(BaseModel):
    """Where the time went."""

    forward: float = Field(description="in the network, shared with other requests of the batch")
    total: float = Field(description="from when the request had been read to the answer")


class Predictions(BaseModel):
    """One prediction an input, in the order given."""

    predictions: list[InputPrediction]
    seconds: Seconds


class Texts(BaseModel):
    """The body of a prediction for runs on texts."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": ["a fine film", "a dull one"]}]}
    )
    texts: list[str] = Field(min_length=1)


class TextPairs(BaseModel):
    """The body of a prediction for runs on pairs of texts."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"texts": [["a dog runs", "an animal moves"]]}]},
    )
    texts: list[tuple[str, str]] = Field(min_length=1)


class Health(BaseModel):
    """That the server is there."""

    status: str = "ok"
    waiting: int = Field(description="predictions that arrive, are prepared or computed now")


class Model(BaseModel):
    """What is served."""

    run: str = Field(description="name of the run folder")
    backbone: str = Field(description="canonical name")
    task: str = Field(description="single-label, multi-label or regression")
    modality: str = Field(description="what kind of inputs it takes, such as image or text")
    files: bool = Field(description="whether an input is a file, such as an image, and not a text")
    pairs: bool = Field(description="whether the inputs are pairs of texts")
    classes: list[str] = Field(description="class names, or columns of numbers")
    has_classes: bool = Field(description="whether the outputs stand for classes; else for numbers")
    outputs: dict[str, str] = Field(description="what the outputs stand for: one and several")
    input: dict[str, Any] = Field(description="what the network takes, as in run.json")
    metrics: dict[str, float | None] = Field(description="on the validation split")
    weights: dict[str, str | None] = Field(
        description="what training started from: tag and license; the license of the network's code"
    )
    limits: dict[str, int] = Field(description="what one request may hold")


class ListedMistake(BaseModel):
    """A validation example that the run takes for something else."""

    number: int
    input: list[str] = Field(description="file name of the image, or texts")
    truth: list[str | float]
    said: list[str | float]
    probability: float | None
    image: str | None = Field(description="path of a small JPEG, where the file is still there")


class MistakesPage(BaseModel):
    """The worst of them first."""

    count: int = Field(description="how many there are")
    of: int = Field(description="validation examples")
    shown: bool = Field(description="whether this server shows them")
    mistakes: list[ListedMistake]


class Error(BaseModel):
    """Why a request was not answered."""

    error: str
    given: str
    expected: str
