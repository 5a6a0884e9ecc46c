"""Decide whether and how a call uses the response cache."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.response_cache import ResponseCacheSettings
from ..core.cache_policy import CacheMode, CachePolicy
from ..core.request import Caller
from ..core.response import SettingWarning

NO_STORE = SettingWarning("cache_policy", "The server keeps no responses; the response is generated.")
NO_OWNER = SettingWarning(
    "cache_policy", "Callers without a name share no stored responses, since they may be anybody; send a gateway token."
)


def resolve_cache_policy(
    policy: CachePolicy | None, caller: Caller, settings: ResponseCacheSettings
) -> tuple[CachePolicy | None, Sequence[SettingWarning]]:
    """Return the policy of a call, None without the cache, and a warning if it cannot be as the caller asked.

    Callers without a name cannot be told apart, except by provider keys of their own. They get stored responses only if
    they are admins, as on a server that is open on loopback or in process.
    """
    is_requested = policy is not None and policy.mode is not None
    mode = policy.mode if policy is not None and policy.mode is not None else CacheMode(settings.default_mode)
    if mode is CacheMode.OFF:
        return None, ()
    if settings.store == "off":
        return None, (NO_STORE,) if is_requested else ()
    if not (caller.name or caller.is_admin or caller.provider_keys):
        return None, (NO_OWNER,) if is_requested else ()
    return (policy if is_requested else CachePolicy(mode)), ()
