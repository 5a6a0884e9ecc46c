"""National identification numbers that their form identifies, checked with python-stdnum."""

from __future__ import annotations

import re
from collections.abc import Callable

from stdnum.be import nn as be_nn
from stdnum.br import cpf as br_cpf
from stdnum.ch import ssn as ch_ssn
from stdnum.cn import ric as cn_ric
from stdnum.de import idnr as de_idnr
from stdnum.es import dni as es_dni
from stdnum.es import nie as es_nie
from stdnum.fi import hetu as fi_hetu
from stdnum.fr import nir as fr_nir
from stdnum.in_ import aadhaar as in_aadhaar
from stdnum.it import codicefiscale as it_codicefiscale
from stdnum.kr import rrn as kr_rrn
from stdnum.mx import curp as mx_curp
from stdnum.se import personnummer as se_personnummer
from stdnum.us import ssn as us_ssn

IT_DIGIT = "[0-9LMNPQRSTUV]"

FORMS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("[0-9]{3}-[0-9]{2}-[0-9]{4}", us_ssn.is_valid),
    ("[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]", lambda number: True),  # UK NINO
    ("[0-9]{8}-?[A-Z]", es_dni.is_valid),
    ("[XYZ]-?[0-9]{7}-?[A-Z]", es_nie.is_valid),
    (f"[A-Z]{{6}}{IT_DIGIT}{{2}}[A-EHLMPRST]{IT_DIGIT}{{2}}[A-Z]{IT_DIGIT}{{3}}[A-Z]", it_codicefiscale.is_valid),
    ("[12] ?[0-9]{2} ?[01][0-9] ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", fr_nir.is_valid),
    ("[0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}", de_idnr.is_valid),
    ("[0-9]{3}[.][0-9]{3}[.][0-9]{3}-[0-9]{2}", br_cpf.is_valid),
    ("756[.][0-9]{4}[.][0-9]{4}[.][0-9]{2}", ch_ssn.is_valid),
    ("[0-9]{2}[.][0-9]{2}[.][0-9]{2}-[0-9]{3}[.][0-9]{2}", be_nn.is_valid),
    ("[0-9]{6}[-+A][0-9]{3}[0-9A-Y]", lambda number: fi_hetu.is_valid(number) or se_personnummer.is_valid(number)),
    ("[0-9]{6}-[0-9]{7}", kr_rrn.is_valid),
    ("[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9X]", cn_ric.is_valid),
    ("[2-9][0-9]{3} [0-9]{4} [0-9]{4}", in_aadhaar.is_valid),
    ("[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[A-Z0-9][0-9]", mx_curp.is_valid),
)
"""The written form of each number and its check. Numbers of plain digits whose check catches less than 99 % of other
numbers are left out: order numbers and timestamps would be masked."""

NATIONAL_ID = (r"\b(?:" + "|".join(form for form, _ in FORMS) + r")\b").encode()
CHECKS = tuple((re.compile(form), check) for form, check in FORMS)


def is_national_id(number: str) -> bool:
    """Return whether this is a valid number of one of the countries.

    >>> is_national_id("54362315K"), is_national_id("54362315X")
    (True, False)
    """
    return any(form.fullmatch(number) and check(number) for form, check in CHECKS)
