"""Run the methods of one extension: where its settings say, for a limited time, and without failing other calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from types import CoroutineType
from typing import Any

from ..config.extensions import ExtensionSettings
from ..core.errors import ExtensionFailed, GatewayError
from ..resilience.isolated_loop import RESPONSE_TIMEOUT_SECONDS, SHUTDOWN_TIMEOUT_SECONDS, Isolated, IsolatedLoop
from ..telemetry.extension_metrics import ExtensionMetrics, HookTally
from ..telemetry.logger import get_logger
from .api import HOOKS, Extension
from .dict_form import InvalidResult
from .timed import Exited, TooLate, await_within, resumed


@dataclass(frozen=True, slots=True)
class Hook:
    """A method of an extension."""

    name: str
    method: Callable[..., Any]
    tally: HookTally


class ExtensionRunner:
    """One extension with its settings. A hook is None if the extension does not have it.

    `changes_responses` tells whether a response must be complete before its first content may be shown. `is_owned`
    means that the extension was created for these settings, and is closed with the runner.
    """

    def __init__(
        self, extension: Extension, settings: ExtensionSettings, metrics: ExtensionMetrics, *, is_owned: bool = True
    ) -> None:
        self.name = extension.name
        self.settings = settings
        self._extension = extension
        self._is_owned = is_owned
        self._metrics = metrics
        self._timeout = settings.timeout_seconds
        self._loop = _isolated_loop(extension.name, settings) if settings.run_in == "thread" else None
        self.on_request, self.on_events, self.on_completion = (self._hook(extension, name) for name in HOOKS)
        only_watches = bool(getattr(extension, "only_watches", False))
        self.changes_responses: bool = self.on_completion is not None and not only_watches

    async def run(self, hook: Hook, *arguments: Any) -> Any:
        """Return what the hook returns.

        Raises the GatewayError with which the extension refuses the call, and ExtensionFailed for everything else that
        it raises, and if it takes too long.
        """
        started = perf_counter()
        try:
            if self._loop is not None:
                return await self._run_in_thread(self._loop, hook, arguments)
            result = resumed(hook.method, *arguments)
            if result is None:
                return None
            if type(result) is CoroutineType:
                return await await_within(self._timeout, result)
            return await await_within(self._timeout, _awaited(result)) if inspect.isawaitable(result) else result
        except (GatewayError, GeneratorExit):  # GeneratorExit closes the coroutine of a call
            raise
        except (TooLate, Exited) as error:
            raise self.failure(f"{error} in {hook.name}.") from error.__cause__
        except InvalidResult as error:
            raise self.failure(f"returned an invalid result: {error}.") from None
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self.failure(f"cancelled its own call in {hook.name}.") from error
        # Third-party code may raise anything, even SystemExit.
        except BaseException as error:
            raise self.failure(f"failed with {type(error).__name__} in {hook.name}.") from error
        finally:
            tally = hook.tally
            tally.calls += 1
            tally.seconds += perf_counter() - started

    def fail(self, hook: Hook, error: ExtensionFailed) -> None:
        """Count and log a failure. Raises its error unless the call may go on without the extension."""
        cause = error.__cause__
        self._metrics.failures.labels(self.name, hook.name).inc()
        get_logger().error(
            "extension.failed", extension=self.name, hook=hook.name, error_message=error.message,
            on_failure=self.settings.on_failure, exc_info=None if isinstance(cause, GatewayError) else cause,
        )  # fmt: skip
        if self.settings.on_failure == "closed":
            raise error

    def failure(self, text: str) -> ExtensionFailed:
        """Return the error whose message begins with the name of the extension."""
        return ExtensionFailed(f"Extension {self.name!r} {text}", metadata={"extension": self.name})

    async def aclose(self) -> None:
        """Close the extension if it was created for the runner, and stop its thread."""
        close = self._hook(self._extension, "aclose")
        if self._is_owned and close is not None:
            try:
                await self.run(close)
            except GatewayError as error:
                with suppress(ExtensionFailed):
                    self.fail(close, self.failure(f"failed in aclose: {error.message}"))
        if self._loop is not None:
            await self._loop.aclose()

    def _hook(self, extension: Extension, name: str) -> Hook | None:
        method = getattr(extension, name, None)
        return None if method is None else Hook(name, method, self._metrics.tally(self.name, name))

    async def _run_in_thread(self, loop: IsolatedLoop, hook: Hook, arguments: tuple[Any, ...]) -> Any:
        async def work() -> Any:
            result = hook.method(*arguments)
            return await result if inspect.isawaitable(result) else result

        try:
            return await loop.run(work, timeout_seconds=self._timeout)
        except TimeoutError:
            raise TooLate(self._timeout) from None
        except ExtensionFailed as error:
            raise error.replace(metadata={"extension": self.name})  # noqa: B904  # a copy keeps its cause


def _isolated_loop(name: str, settings: ExtensionSettings) -> IsolatedLoop:
    def translate(error: BaseException) -> GatewayError | None:
        return isolated.failure(f"returned an invalid result: {error}.") if isinstance(error, InvalidResult) else None

    # Failures are logged where their call learns of them.
    isolated = Isolated("Extension", name, "extensions", ExtensionFailed, lambda error: None, lambda: None, translate)
    return IsolatedLoop(isolated, min(settings.timeout_seconds, RESPONSE_TIMEOUT_SECONDS), SHUTDOWN_TIMEOUT_SECONDS)


async def _awaited(result: Any) -> Any:
    return await result
