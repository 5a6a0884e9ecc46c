"""Build the filters of a configuration."""

from __future__ import annotations

from typing import Literal

from ..config.safety_filters import DetectorSettings, SafetyFilterSettings
from .detector import Detector
from .patterns import InvalidPattern, Patterns, compile_pattern
from .personal_data import EmailAddresses, Ibans, NationalIds, PaymentCards, PhoneNumbers, warm_up
from .scanner import Rule, Scanner
from .secrets import Authorization, JsonWebTokens, NamedSecrets, PrivateKeys, Tokens, UrlCredentials

Direction = Literal["input", "output"]

DETECTORS: dict[str, tuple[type[Detector], ...]] = {
    "secrets": (Tokens, JsonWebTokens, UrlCredentials, Authorization, PrivateKeys),
    "named_secrets": (NamedSecrets,),
    "emails": (EmailAddresses,),
    "phones": (PhoneNumbers,),
    "cards": (PaymentCards,),
    "ibans": (Ibans,),
    "national_ids": (NationalIds,),
}
"""The detectors of each setting."""


class SafetyFilters:
    """The scanners of a configuration, None for a direction in which nothing is filtered.

    Raises InvalidPattern, whose message names the setting.
    """

    def __init__(self, settings: SafetyFilterSettings) -> None:
        self.settings = settings
        self.input = _scanner(settings, "input")
        self.output = _scanner(settings, "output")
        self.blocks_output = any(rule.action == "block" for rule in _rules(settings, "output"))
        if self.input is not None or self.output is not None:
            warm_up()


def _rules(settings: SafetyFilterSettings, direction: Direction) -> list[Rule]:
    detectors: DetectorSettings = getattr(settings, direction)
    own = [(name, DETECTORS[name][0].label, getattr(detectors, name)) for name in DETECTORS]
    others = [
        (f"patterns.{name}", name.upper().replace("-", "_"), getattr(pattern, direction))
        for name, pattern in settings.patterns.items()
    ]
    return [Rule(name, label, action) for name, label, action in (*own, *others) if action != "off"]


def _scanner(settings: SafetyFilterSettings, direction: Direction) -> Scanner | None:
    for name, pattern in settings.patterns.items():
        try:
            compile_pattern(pattern.pattern)
        except InvalidPattern as error:
            raise InvalidPattern(f"safety_filters.patterns.{name}.pattern: {error}") from None
    rules = _rules(settings, direction)
    maximum = settings.max_input_characters if direction == "input" else settings.max_output_characters
    if not rules and maximum is None:
        return None
    detectors = [(rule, detector()) for rule in rules for detector in DETECTORS.get(rule.name, ())]
    pattern_rules = [rule for rule in rules if rule.name not in DETECTORS]
    texts = [settings.patterns[rule.name.removeprefix("patterns.")].pattern for rule in pattern_rules]
    return Scanner(detectors, Patterns(texts) if texts else None, pattern_rules)
