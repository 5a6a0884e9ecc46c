"""What the safety filters find, and what they leave alone."""

from __future__ import annotations

import base64
import hashlib
import uuid

import pytest

from tests.support.paths import ROOT
from tests.support.safety import HEX, JWT, KEY_LINES, RANDOM, masked, private_key

TOKENS = (
    "AKIA" + "ABCD2345" * 2,
    "ghp_" + RANDOM[:36],
    "github_pat_" + RANDOM[:22] + "_" + RANDOM[:59],
    "glpat-" + RANDOM[:20],
    "xoxb-" + "123456789012-" + RANDOM[:24],
    "sk_live_" + RANDOM[:24],
    "sk-ant-api03-" + RANDOM + "-AA",
    "sk-proj-" + RANDOM,
    "sk-" + HEX[:32],
    "gsk_" + RANDOM[:52],
    "hf_" + "aBcDeFgHiJ" * 4,
    "AIza" + RANDOM[:35],
    "ya29." + RANDOM,
    "GOCSPX-" + RANDOM[:28],
    "npm_" + RANDOM[:36],
    "pypi-AgEIcHlwaS5vcmc" + RANDOM,
    "SG." + RANDOM[:22] + "." + RANDOM[:43],
    "dop_v1_" + HEX,
    "dckr_pat_" + RANDOM[:27],
    "hvs." + RANDOM[:30],
    "AGE-SECRET-KEY-1" + "QPZRY9X8GF" * 6,
    "1234567890:AA" + RANDOM[:33],
    JWT,
)


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
@pytest.mark.parametrize("frame", ["{}", "Use {}, please.", '{{"key":"{}"}}', "KEY={}\nNEXT=1", "see `{}`."])
def test_tokens_of_services_are_masked(token: str, frame: str) -> None:
    assert masked(frame.format(token)) == frame.format("[SECRET_1]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://app:hunter2@db:5432/x", "postgres://[SECRET_1]@db:5432/x"),
        ("Authorization: Bearer " + RANDOM[:24], "Authorization: Bearer [SECRET_1]"),
        ("Authorization: Basic " + base64.b64encode(b"ada:lovelace12").decode(), "Authorization: Basic [SECRET_1]"),
        ('{"Authorization": "Basic ' + RANDOM[:24] + '="}', '{"Authorization": "Basic [SECRET_1]"}'),
        ("authorization:BASIC " + RANDOM[:24] + "==", "authorization:BASIC [SECRET_1]"),
        ("Authorization: Token " + HEX[:40], "Authorization: Token [SECRET_1]"),
        ("https://u:p@ss@h/", "https://[SECRET_1]@h/"),
        (f"a\n{private_key()}\nb", "a\n[SECRET_1]\nb"),
        (private_key("ENCRYPTED ", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB12\n\n"), "[SECRET_1]"),
        (private_key().replace("\n", "\\n"), "[SECRET_1]"),
        (private_key()[:100], "[SECRET_1]"),
        ("password = 'tr0ub4dor&3x'", "password = '[SECRET_1]'"),
        (f'"api_key": "{HEX[:32]}"', '"api_key": "[SECRET_1]"'),
        ("DB_PASSWORD=xK9$mQ2pL", "DB_PASSWORD=[SECRET_1]"),
        ("mail ada@example.com, Bob.B+x@mail.example.co.uk!", "mail [EMAIL_1], [EMAIL_2]!"),
        ("<ada@example.com>;ADA@example.com", "<[EMAIL_1]>;[EMAIL_1]"),
        ("+49 30 1234567 or +1 (415) 555-2671", "[PHONE_1] or [PHONE_2]"),
        ("+33 1 23 45 67 89, +44-20-7946-0958 or 0041 44 668 18 00", "[PHONE_1], [PHONE_2] or [PHONE_3]"),
        ("tel:+819012345678 (415) 555-2671", "tel:[PHONE_1] [PHONE_2]"),
        ("4111 1111 1111 1111, 4111111111111111", "[CARD_1], [CARD_1]"),
        ("5500-0000-0000-0004; 3782 822463 10005; 6011000990139424", "[CARD_1]; [CARD_2]; [CARD_3]"),
        ("12 4111 1111 1111 1111", "12 [CARD_1]"),
        ("DE89 3704 0044 0532 0130 00 ASAP", "[IBAN_1] ASAP"),
        ("GB82WEST12345698765432, FR1420041010050500013M02606", "[IBAN_1], [IBAN_2]"),
        ("４１１１ １１１１ １１１１ １１１１", "[CARD_1]"),
        ("+33\u00a01\u202f23 45 67 89", "[PHONE_1]"),
        ("电话+8613800138000号", "电话[PHONE_1]号"),
    ],
)
def test_secrets_and_personal_data_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "number",
    [
        "536-90-4399",  # United States
        "AB 12 34 56 C",  # United Kingdom
        "54362315K",  # Spain, twice
        "X2482300W",
        "RCCMNL83S18D969H",  # Italy
        "2 95 10 99 126 111 93",  # France
        "36 574 261 809",  # Germany
        "390.533.447-05",  # Brazil
        "756.9217.0769.85",  # Switzerland
        "85.07.30-033.28",  # Belgium
        "131052-308T",  # Finland
        "880320-0016",  # Sweden
        "971013-9019902",  # South Korea
        "360426199101010071",  # China
        "2341 2341 2346",  # India
        "BOXW310820HNERXN09",  # Mexico
    ],
)
def test_national_ids_are_masked(number: str) -> None:
    assert masked(f"My number is {number}.") == "My number is [NATIONAL_ID_1]."


def digests() -> list[str]:
    return [getattr(hashlib, name)(b"a").hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]


PLAIN = (
    "The token is used once; passwords are never logged. Ask @ada or see issue #4521.",
    "On 2026-11-27 21:04:05 at 10.0.0.1:8080 we paid 1,234.56 EUR for 12 x 99 items (order 4012-8888-8888-1882-7).",
    "Version 1.2.3-rc.4, build 20261127.3, pi = 3.14159265358979323846, 6.02214076e23, 1732741445123, 0x7ffee4111111",
    "Order 4111 1111 1111 1112, tracking 1Z999AA10123456784, ISBN 978-3-16-148410-0, parts 123-45-678 and 12-345-6789.",
    "max_tokens = 4096; token_count: 17; secret = get_secret(name); password = settings.password; key = $API_KEY_2",
    "postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE https://example.com:8443/@scope/package?a=b@c",
    "pk_customer_orders_2026_index sk-learn-contrib-examples-and-more hf-transformers-models rk_foreign_key_index",
    "DE89 3704 0044 0532 0130 01, AB12 CD34, NL01 2026, FY25 Q3 2026 1234",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 40).decode(),
    " ".join(str(uuid.UUID(int=number * 0x1234567890ABCDEF1234567 % 2**128)) for number in range(1, 200)),
    "\n".join(digests()),
    "\n".join(
        f"{n:06d} 2026-11-{n % 28 + 1:02d}T0{n % 10}:00:00.{n:03d}Z status=200 bytes={n * 977}" for n in range(999)
    ),
    ", ".join(str(1_000_000_007 * number % 10**12) for number in range(1, 500)),
)


@pytest.mark.parametrize("text", PLAIN, ids=lambda text: text[:24])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_the_source_code_and_the_pages_of_the_project_stay_as_they_are() -> None:
    for path in [*ROOT.glob("server/**/*.py"), ROOT / "README.md", ROOT / "docs" / "architecture.md"]:
        if path.name not in ("secret_shapes.py", "personal_data.py", "national_ids.py", "extension_checks.py"):
            text = path.read_text("utf-8")
            assert masked(text) == text, path


def test_what_is_hidden_on_purpose_is_not_found() -> None:
    for text in (
        "ada at example dot com",
        "4111\u200d1111\u200d1111\u200d1111",
        base64.b64encode(b"ada@example.com").decode(),
    ):
        assert masked(text) == text
    assert KEY_LINES in masked(f"Key material alone: {KEY_LINES}")
