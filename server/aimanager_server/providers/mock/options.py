"""The operator's options of the mock provider: the section [providers.mock.options]."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...config.types import invalid_values
from ...core.errors import InvalidRequest
from .script import ParsedScript
from .script_parser import MAX_ANSWER_LENGTH, parse_script


class ScriptOption(BaseModel):
    """A configured response to every prompt that contains `match`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str
    answer: str


class MockOptions(BaseModel):
    """Default `latency` in seconds, `rate` in tokens per second, and scripts; limits and effects of scripts.

    `max_answer_length` limits the characters of text, reasoning and tool calls in one script. With `faults_count`,
    scripted faults count as failures of the provider.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scripts: tuple[ScriptOption, ...] = ()
    latency: float = Field(default=0.0, ge=0)
    rate: float | None = Field(default=None, gt=0)
    max_answer_length: int = Field(default=MAX_ANSWER_LENGTH, ge=1)
    faults_count: bool = False

    def parsed_scripts(self) -> tuple[tuple[str, ParsedScript], ...]:
        """Return the configured scripts in order, each with the text that a prompt must contain."""
        return tuple((script.match, self._parsed(script)) for script in self.scripts)

    def _parsed(self, script: ScriptOption) -> ParsedScript:
        return parse_script(script.answer, max_answer_length=self.max_answer_length, text_is_reply=True)

    @model_validator(mode="after")
    def _has_valid_scripts(self) -> Self:
        for index, script in enumerate(self.scripts):
            try:
                self._parsed(script)
            except InvalidRequest as error:
                raise invalid_values([(("scripts", index, "answer"), error.violations[0].description)]) from error
        return self
