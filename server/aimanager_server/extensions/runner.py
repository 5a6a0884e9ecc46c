"""Run the methods of one extension: where its settings say, for a limited time, and without failing other calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any

from ..config.extensions import ExtensionSettings
from ..core.errors import ExtensionFailed, GatewayError
from ..resilience.isolated_loop import RESPONSE_TIMEOUT_SECONDS, SHUTDOWN_TIMEOUT_SECONDS, Isolated, IsolatedLoop
from ..telemetry.logger import get_logger
from ..telemetry.metrics import Metrics
from .api import Extension
from .dict_form import InvalidResult
from .timed import TooLate, await_within

Hook = Callable[..., Any]


class ExtensionRunner:
    """One extension with its settings. A hook is None if the extension does not have it.

    `changes_responses` tells whether a response must be complete before its first content may be shown. `is_owned`
    means that the extension was created for these settings, and is closed with the runner.
    """

    def __init__(
        self, extension: Extension, settings: ExtensionSettings, metrics: Metrics, *, is_owned: bool = True
    ) -> None:
        self.name = extension.name
        self.settings = settings
        self._extension = extension
        self._is_owned = is_owned
        self._metrics = metrics.for_extension(extension.name)
        self._log = get_logger()
        self._loop = _isolated_loop(extension.name, settings) if settings.run_in == "thread" else None
        self.on_request: Hook | None = getattr(extension, "on_request", None)
        self.on_events: Hook | None = getattr(extension, "on_events", None)
        self.on_completion: Hook | None = getattr(extension, "on_completion", None)
        only_watches = bool(getattr(extension, "only_watches", False))
        self.changes_responses: bool = self.on_completion is not None and not only_watches
        self._run = self._run_here if self._loop is None else partial(self._run_in_thread, self._loop)

    async def run(self, hook: Hook, *arguments: Any) -> Any:
        """Return what the hook returns.

        Raises the GatewayError with which the extension refuses the call, and ExtensionFailed for everything else that
        it raises, and if it takes too long.
        """
        started = perf_counter()
        try:
            return await self._run(hook, *arguments)
        finally:
            self._metrics.observe(hook.__name__, perf_counter() - started)

    def fail(self, hook: Hook, error: ExtensionFailed) -> None:
        """Count and log a failure. Raises its error unless the call may go on without the extension."""
        is_open = self.settings.on_failure == "open"
        cause = error.__cause__
        self._metrics.count_failure(hook.__name__)
        self._log.error(
            "extension.failed", extension=self.name, hook=hook.__name__, error_message=error.message,
            on_failure=self.settings.on_failure, exc_info=None if isinstance(cause, GatewayError) else cause,
        )  # fmt: skip
        if not is_open:
            raise error

    def failure(self, text: str) -> ExtensionFailed:
        """Return the error whose message begins with the name of the extension."""
        return ExtensionFailed(f"Extension {self.name!r} {text}", metadata={"extension": self.name})

    async def aclose(self) -> None:
        """Close the extension if it was created for the runner, and stop its thread."""
        close = getattr(self._extension, "aclose", None)
        if self._is_owned and close is not None:
            try:
                await self.run(close)
            except GatewayError as error:
                with suppress(ExtensionFailed):
                    self.fail(close, self.failure(f"failed in aclose: {error.message}"))
        if self._loop is not None:
            await self._loop.aclose()

    async def _run_here(self, hook: Hook, *arguments: Any) -> Any:
        try:
            result = hook(*arguments)
            if result is None or not inspect.isawaitable(result):
                return result
            work = result if inspect.iscoroutine(result) else _awaited(result)
            return await await_within(self.settings.timeout_seconds, work)
        except (GatewayError, GeneratorExit):  # GeneratorExit closes the coroutine of a call
            raise
        except TooLate:
            raise self._late(hook) from None
        except InvalidResult as error:
            raise self.failure(f"returned an invalid result: {error}.") from None
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self.failure(f"cancelled its own call in {hook.__name__}.") from error
        # Third-party code may raise anything, even SystemExit.
        except BaseException as error:
            raise self.failure(f"failed with {type(error).__name__} in {hook.__name__}.") from error

    async def _run_in_thread(self, loop: IsolatedLoop, hook: Hook, *arguments: Any) -> Any:
        async def work() -> Any:
            result = hook(*arguments)
            return await result if inspect.isawaitable(result) else result

        try:
            return await loop.run(work, timeout_seconds=self.settings.timeout_seconds)
        except TimeoutError:
            raise self._late(hook) from None
        except ExtensionFailed as error:
            raise error.replace(metadata={"extension": self.name})  # noqa: B904  # a copy keeps its cause

    def _late(self, hook: Hook) -> ExtensionFailed:
        return self.failure(f"took longer than {self.settings.timeout_seconds:g} s in {hook.__name__}.")


def _isolated_loop(name: str, settings: ExtensionSettings) -> IsolatedLoop:
    def translate(error: BaseException) -> GatewayError | None:
        return isolated.failure(f"returned an invalid result: {error}.") if isinstance(error, InvalidResult) else None

    # Failures are logged where their call learns of them.
    isolated = Isolated("Extension", name, "extensions", ExtensionFailed, lambda error: None, lambda: None, translate)
    return IsolatedLoop(isolated, min(settings.timeout_seconds, RESPONSE_TIMEOUT_SECONDS), SHUTDOWN_TIMEOUT_SECONDS)


async def _awaited(result: Any) -> Any:
    return await result
