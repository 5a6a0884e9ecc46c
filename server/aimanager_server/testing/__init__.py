"""For tests: checks for authors of provider plug-ins and extensions; `fixtures` for programs that call models."""

from .extension_checks import check_extension
from .provider_checks import check_provider

__all__ = ["check_extension", "check_provider"]
