"""For tests: `check_provider` for authors of provider plug-ins; `fixtures` for programs that call models."""

from .provider_checks import check_provider

__all__ = ["check_provider"]
