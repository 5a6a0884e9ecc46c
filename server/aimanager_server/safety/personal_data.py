"""Personal data: e-mail addresses, telephone numbers, payment cards, IBANs and national identification numbers."""

from __future__ import annotations

import re

from stdnum import iban, luhn

from .detector import Detector, Span
from .national_ids import NATIONAL_ID, is_national_id

NUMBERS = 2
"""Group of the patterns of numbers."""

MAX_LOCAL_PART, MAX_DOMAIN = 64, 253

LOCAL_PART = re.compile(rb"(?:.*[^A-Za-z0-9._%+\-])?([A-Za-z0-9._%+\-]*)", re.DOTALL)
DIGITS = re.compile(rb"[0-9]+")
NOT_DIGITS = re.compile(rb"[^0-9]+")
GROUP_BEFORE = re.compile(rb"[0-9A-Z] ")
JOINED = b"._/+-"
"""Characters that join a number with what precedes or follows it, as in 3.1415 and in identifiers."""

MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 8, 15
CALLING_CODES = re.compile(
    rb"1[2-9]|7[3-9]|2(?:0|7|[1234569][0-9]|80|84|88|89)|3(?:[0123469]|[578][0-9])|4(?:[013-9]|2[0-9])"
    rb"|5(?:[1-8]|0[0-9]|9[0-9])|6(?:[0-6]|[79][0-9]|8[0-9])|8(?:[12469]|0[08]|5[0-9]|7[0-9]|8[0-9])|9(?:[0-58]|[679][0-9])"
)
"""The calling codes that are assigned (ITU-T E.164), and for the first digits of longer ones."""

CARD_NUMBER = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-59]|[689][0-9])[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}"
    r"|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}|62[0-9]{14,17}"
)
"""Issuers and lengths: Visa, Mastercard (twice), American Express, Diners Club, JCB, Discover, UnionPay."""

IBAN_LENGTHS = {
    entry[:2].encode(): int(entry[2:])
    for entry in re.findall(
        "....",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18"
        "FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21"
        "LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24"
        "SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30",
    )
}
"""Letters and digits of the account numbers of each country (SWIFT's registry of IBANs)."""

CARD_GROUPS = ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1))


class EmailAddresses(Detector):
    """E-mail addresses with ASCII letters and a top-level domain of letters."""

    pattern = rb"@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,8}\.[A-Za-z]{2,24}\b"
    label = "EMAIL"
    required = b"@"
    longest_prefix = MAX_LOCAL_PART + MAX_DOMAIN + 600
    has_spaces = False

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept what has a local part."""
        found = LOCAL_PART.fullmatch(text, max(floor, start - MAX_LOCAL_PART), start)
        local = b"" if found is None else found[1]
        return (start - len(local.lstrip(b".%+-")), end) if local.strip(b".%+-") and local[-1:] != b"." else None


class PhoneNumbers(Detector):
    """Telephone numbers in international form, and those of North America with their usual separators."""

    pattern = (
        rb"(?:\+|\b00)[1-9][0-9]{0,2}[ .\-]{0,2}(?:\([0-9]{1,4}\))?[0-9 .\-/]{4,22}[0-9]"
        rb"|\(?\b[2-9][0-9]{2}(?:\) ?|[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}\b"
    )
    label = "PHONE"
    group = NUMBERS

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept numbers with a calling code that is assigned."""
        is_international = text[start : start + 1] == b"+" or text[start : start + 2] == b"00"
        if text[start : start + 1] == b"0" and GROUP_BEFORE.fullmatch(text, max(0, start - 2), start):
            return None  # a group of a longer number
        while len(digits := NOT_DIGITS.sub(b"", text[start:end]).lstrip(b"0")) > MAX_PHONE_DIGITS:
            end = max(text.rfind(separator, start, end) for separator in (b" ", b"/", text[start : start + 1]))
        if _is_joined(text, start, end):
            return None
        is_number = len(digits) >= MIN_PHONE_DIGITS and CALLING_CODES.match(digits)
        return (start, end) if is_number or not is_international else None


class PaymentCards(Detector):
    """Payment card numbers of the known issuers whose check digit is right."""

    pattern = (
        rb"\b(?:[2-6][0-9]{3}(?:[ \-]?[0-9]{4}){2}[ \-]?[0-9]{1,4}(?:[ \-]?[0-9]{3})?"
        rb"|3[0-9]{3}[ \-]?[0-9]{6}[ \-]?[0-9]{4,5})\b"
    )
    label = "CARD"
    group = NUMBERS

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept what an issuer's numbers look like."""
        candidate = text[start:end]
        groups = DIGITS.findall(candidate)
        digits = b"".join(groups).decode()
        is_grouped = len(groups) == 1 or (
            tuple(map(len, groups)) in CARD_GROUPS and len(set(NOT_DIGITS.findall(candidate))) == 1
        )
        if not is_grouped or CARD_NUMBER.fullmatch(digits) is None or not luhn.is_valid(digits):
            return None
        return None if _is_joined(text, start, end) or len(set(digits)) == 1 else (start, end)

    def resume(self, text: bytes, start: int, end: int) -> int:
        """Return the end of the first group."""
        return _after_first_group(text, start, end)


class Ibans(Detector):
    """International bank account numbers whose country, form and check digits are right."""

    pattern = rb"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"
    label = "IBAN"
    group = NUMBERS

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept what the rules of the country permit."""
        # What follows a number in capital letters can look like its last groups.
        length = IBAN_LENGTHS.get(text[start : start + 2], 0)
        end = next((at for at in range(start + length, end + 1) if _letters_and_digits(text, start, at) == length), 0)
        if not length or not end or text[end : end + 1].isalnum():
            return None
        candidate = text[start:end].decode()
        return (start, end) if _has_check_digits(candidate) and iban.is_valid(candidate) else None

    def resume(self, text: bytes, start: int, end: int) -> int:
        """Return the end of the first group."""
        return _after_first_group(text, start, end)


class NationalIds(Detector):
    """Identification numbers of 15 countries, in a form that is distinctive or with a check digit that is right."""

    pattern = NATIONAL_ID
    label = "NATIONAL_ID"
    group = NUMBERS

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept valid numbers."""
        if _is_joined(text, start, end) or not is_national_id(text[start:end].decode()):
            return None
        return start, end

    def resume(self, text: bytes, start: int, end: int) -> int:
        """Return the end of the first group."""
        return _after_first_group(text, start, end)


def warm_up() -> None:
    """Read the data files of the library, so that no call has to."""
    iban.is_valid("DE89370400440532013000")
    is_national_id("110101199003070038")


def _has_check_digits(candidate: str) -> bool:
    """Return whether the number is 1 modulo 97, which few texts are: the complete check takes 30 times as long."""
    compact = candidate.replace(" ", "")
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _letters_and_digits(text: bytes, start: int, end: int) -> int:
    return end - start - text.count(b" ", start, end)


def _is_joined(text: bytes, start: int, end: int) -> bool:
    """Return whether the number is part of a longer number or identifier."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before and (before[-1:].isalnum() or (before[-1:] in JOINED and before[:-1].isalnum())):
        return True
    return after[:1].isalnum() or (after[:1] in JOINED and after[1:].isalnum())


def _after_first_group(text: bytes, start: int, end: int) -> int:
    """Return the end of the first group: the rest may be a number by itself."""
    separator = next((i for i in range(start, end) if not text[i : i + 1].isalnum()), end)
    return max(separator, start + 1)
