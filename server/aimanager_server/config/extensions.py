"""Settings of extensions, which see and change requests and answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .types import Name, Section, SettingPath, invalid_values

Place = Literal["event_loop", "thread"]
OnFailure = Literal["closed", "open"]


class ExtensionSettings(Section):
    """How one extension runs."""

    run_in: Place = "event_loop"
    """`event_loop`: that of the server, at the least cost; code that blocks it delays every call. `thread`: one in a
    thread of its own, where it cannot delay other calls."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """How long one method of the extension may take."""
    on_failure: OnFailure = "closed"
    """`closed`: a call for which the extension fails, or takes too long, fails. `open`: the call goes on without it."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options that the extension defines."""


class ExtensionsSettings(Section):
    """Extensions to load. Installed extensions that are not listed are ignored."""

    enabled: list[Name] = Field(default_factory=list)
    """Names of entry points in the group aimanager.extensions. Requests pass them in this order, answers in reverse."""
    settings: dict[Name, ExtensionSettings] = Field(default_factory=dict)
    """How each of them runs."""

    def of(self, name: str) -> ExtensionSettings:
        """Return the settings of an extension."""
        return self.settings.get(name) or ExtensionSettings()

    @model_validator(mode="after")
    def _is_consistent(self) -> ExtensionsSettings:
        found = list(self._problems())
        if found:
            raise invalid_values(found)
        return self

    def _problems(self) -> Iterator[tuple[SettingPath, str]]:
        for index, name in enumerate(self.enabled):
            if name in self.enabled[:index]:
                yield ("enabled", index), "duplicate name"
        for name in self.settings:
            if name not in self.enabled:
                listed = ", ".join(self.enabled) or "none"
                yield ("settings", name), f"is not in extensions.enabled, which lists: {listed}"
