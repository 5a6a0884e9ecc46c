"""Define what an extension is, and check that an object is one."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .dict_form import request_from_dict, request_to_dict, response_from_dict, response_to_dict
from .views import ExtensionCall, ExtensionRequest, ExtensionResponse

API_VERSION = 1
"""The version of this interface. It is incremented only for incompatible changes."""

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
HOOKS = ("on_request", "on_events", "on_completion")


class Extension(Protocol):
    """Sees, and may change, the requests and responses of all generation calls.

    It is a class or function in a third-party package, registered as an entry point in the group
    `aimanager.extensions`, which is called with the `options` of its settings if it has a parameter of that name.

    It also has at least one of these methods, each with or without `async`. One instance serves all calls; what it has
    to remember of one call it keeps in `call.state`. To refuse a call, it raises a GatewayError, as ContentBlocked.

    - `on_request(call, request) -> ExtensionRequest | None`, before anything is sent. None leaves it as it is.
    - `on_events(call, events)` watches the events of the response while they arrive. A `Restarted` event means that the
      response begins again.
    - `on_completion(call, response) -> ExtensionResponse | None`, once the response is complete. A stream is held back
      until then, since it may be changed, unless the extension has `only_watches = True`.
    - `aclose()`, when the extension is not used any more.
    """

    @property
    def name(self) -> str:
        """The name of its entry point: 1 to 63 characters of a-z, 0-9, - and _."""
        ...

    @property
    def api_version(self) -> int:
        """The API_VERSION that the extension was written for."""
        ...


class FeatureExtension(ABC):
    """An extension that works on dicts, as in the original design document.

    The methods may be `async`. `process_response` gets the complete response, so that a stream is held back until then
    unless the class has `only_watches = True`; what it returns is ignored in that case.
    """

    api_version: int = API_VERSION
    only_watches: bool = False

    @abstractmethod
    def get_feature_name(self) -> str:
        """Return the name of the extension."""

    @abstractmethod
    def process_request(self, request_data: dict[str, Any]) -> Any:
        """Return the request, changed or as it is."""

    @abstractmethod
    def process_response(self, response_data: dict[str, Any]) -> Any:
        """Return the response, changed or as it is."""

    @property
    def name(self) -> str:
        """The name of the extension."""
        return self.get_feature_name()

    def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> Any:
        """Pass the request to `process_request`. Returns None if it changed nothing."""
        sent = request_to_dict(call, request)
        result = self.process_request(request_to_dict(call, request))
        return _then(result, lambda data: None if data == sent else request_from_dict(data, sent))

    def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> Any:
        """Pass the response to `process_response`. Returns None if it changed nothing."""
        sent = response_to_dict(call, response)
        result = self.process_response(response_to_dict(call, response))
        return _then(result, lambda data: None if data == sent else response_from_dict(data, sent, response))


def extension_problems(extension: object, name: str = "") -> Iterator[str]:
    """Yield what prevents an object from being an extension. A non-empty `name` is the one it must have."""
    actual = getattr(extension, "name", None)
    if not isinstance(actual, str) or not NAME_PATTERN.fullmatch(actual):
        yield f"name must be 1 to 63 characters of a-z, 0-9, - and _, got {actual!r}"
    elif name and actual != name:
        yield f"name must be that of its entry point, {name!r}, got {actual!r}"
    version = getattr(extension, "api_version", None)
    if version != API_VERSION:
        yield f"api_version must be {API_VERSION}, got {version!r}"
    if not any(callable(getattr(extension, hook, None)) for hook in HOOKS):
        yield f"must have one of the methods {', '.join(HOOKS)}, or be a FeatureExtension"


def _then(result: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert a result, or what it is once it has been awaited."""
    if not inspect.isawaitable(result):
        return convert(result)

    async def awaited() -> Any:
        return convert(await result)

    return awaited()
