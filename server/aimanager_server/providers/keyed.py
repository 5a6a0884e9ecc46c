"""Makes an exchange with the caller's own key, or else with the server's keys in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import structlog

from ..call import Call
from ..errors import CallerKeyRejected, MissingCredentials, ProviderAuth, ProviderQuota
from ..fault import Fault
from .keys import KeyRing

Answer = TypeVar("Answer")
Exchange = Callable[[Call, str], Awaitable[Answer]]
"""One exchange with the provider, with a key that may be empty."""


class Keyed:
    """Gives exchanges with one provider their key. `key_variable` would hold one; empty where none is needed."""

    def __init__(self, provider: str, keys: KeyRing, key_variable: str) -> None:
        self._provider = provider
        self._keys = keys
        self._key_variable = key_variable
        self._log = structlog.get_logger()

    async def __call__(self, call: Call, exchange: Exchange[Answer]) -> Answer:
        """What the exchange gives with the first key that is not refused. Raises the first refusal where all are."""
        own = call.caller.provider_keys.get(self._provider, "")
        if own:
            return await self._with_callers_key(call, own, exchange)
        refusal: Fault | None = None
        for key in self.server_keys():
            try:
                return await exchange(call, key)
            except (ProviderAuth, ProviderQuota) as fault:
                position = self._keys.refuse(key)
                self._log.warning("provider.key_refused", provider=self._provider, key=position, reason=fault.reason)
                refusal = refusal or fault
        assert refusal is not None
        raise refusal

    def server_keys(self) -> Iterator[str]:
        """The server's keys, best first; an empty one where none is needed. Raises MissingCredentials."""
        if len(self._keys):
            return self._keys.candidates()
        if not self._key_variable:
            return iter(("",))
        raise MissingCredentials(
            f"There is no key for the provider {self._provider!r}.",
            solution=f"Set {self._key_variable} for the server, or api_key under [providers.{self._provider}] in its "
            "configuration, or give the client a key of your own: AIManager(api_key=…).",
            provider=self._provider,
            metadata={"envVar": self._key_variable},
        )

    async def _with_callers_key(self, call: Call, key: str, exchange: Exchange[Answer]) -> Answer:
        if not (key.isascii() and key.isprintable()) or " " in key:
            message = "The key given for the provider holds a blank, a line break or a letter beyond ASCII."
            raise CallerKeyRejected(message, provider=self._provider, model=call.target.model)
        try:
            return await exchange(call, key)
        except (ProviderAuth, ProviderQuota) as fault:
            # The caller's key is the caller's affair: neither the shared breaker nor another provider hears of it.
            raise CallerKeyRejected(
                fault.message,
                solution=fault.solution if isinstance(fault, ProviderQuota) else "",
                provider=fault.provider,
                model=fault.model,
                upstream_status=fault.upstream_status,
            ) from fault
