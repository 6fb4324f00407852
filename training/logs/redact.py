"""What must not be kept of a statement: literals in general, personal values and secrets in particular."""

from __future__ import annotations

import re

__all__ = ["redact", "skeletons"]

# What may begin a literal or comment comes first, as one set: the search passes over everything else without trying them.
_POSTGRES = re.compile(
    rb"""['\d$/-](?:(?<=')(?:(?<=\b[eE]')(?:[^'\\\0]|''|\\[^\0])*'|[^'\0]*(?:''[^'\0]*)*')|(?<=\$)(\w*)\$[^\0]*?\$\1\$"""
    rb"""|(?<=\b\d)[\d.]*(?:[eE][+-]?\d+)?|(?<=-)-[^\n\0]*|(?<=/)\*[^\0]*?\*/)"""
)
_MYSQL = re.compile(
    rb"""['"\d/-](?:(?<=')(?:[^'\\\0]|''|\\[^\0])*'|(?<=")(?:[^"\\\0]|""|\\[^\0])*\""""
    rb"""|(?<=\b\d)[\d.]*(?:[eE][+-]?\d+)?|(?<=-)-[^\n\0]*|(?<=/)\*[^\0]*?\*/)"""
)
_LIST = re.compile(rb"\?(?:\s*,\s*\?)+")


def skeletons(statements: list[bytes], dialect: str) -> list[bytes]:
    """Each statement with every literal and comment as ``?``, lists as one: what statements in a row have in common.

    Works on text alone, all statements in one pass, so that a log of a gigabyte costs seconds; ``sqlgen.sql.fingerprint``
    is the exact one.

    >>> skeletons([b"SELECT a FROM t WHERE b IN (1, 2) -- x", b"SELECT a FROM t WHERE c = 'it''s'"], "postgres")
    [b'SELECT a FROM t WHERE b IN (?) ?', b'SELECT a FROM t WHERE c = ?']
    """
    if not statements:
        return []
    pattern = _MYSQL if dialect in ("mysql", "bigquery", "databricks") else _POSTGRES
    return _LIST.sub(b"?", pattern.sub(b"?", b"\0".join(statements))).split(b"\0")


_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.,:-])(?:\+\d|\(?0\d)[\d ()/.-]{6,16}\d(?![\w-])|(?<![\w-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])"
)
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_TOKEN = re.compile(r"\b(?:sk|pk|ghp|gho|xox[abp]|AKIA|eyJ)[\w.-]{14,}")
_SECRET_NAMES = (
    r"\w*(?:passw|passphrase|pwd|secret|token|api_?key|private_?key|ssn|social_?sec|iban|card_?n|credit_?card|cvv|"
    r"passport|e_?mail|phone|mobile|tax_?id|birth)\w*"
)
_SECRET = re.compile(
    rf"""(?i)(["`\[]?\b{_SECRET_NAMES}["`\]]?\)?\s*(?:=|<>|!=|<|>|<=|>=|(?:not\s+)?i?like|(?:not\s+)?in\s*\()\s*)"""
    r"""('(?:[^']|'')*'(?:\s*,\s*'(?:[^']|'')*')*|\d[\d.]*(?:\s*,\s*\d[\d.]*)*)"""
)
_KEY_VALUE = re.compile(r"(?i)\b((?:password|passwd|pwd|secret|token|api_?key)\s*[=:]\s*)([^\s'\",;)]+)")


def _is_card(digits: str) -> bool:
    numbers = [int(d) for d in digits if d.isdigit()]
    doubled = [sum(divmod(2 * n, 10)) if i % 2 else n for i, n in enumerate(reversed(numbers))]
    return len(numbers) >= 13 and sum(doubled) % 10 == 0


def redact(text: str) -> str:
    """``text`` with e-mail addresses, telephone and card numbers, keys and the like replaced by neutral ones of their kind.

    What is compared with a column whose name says that it holds such values goes as well.

    >>> redact("SELECT id FROM users WHERE email = 'ann.lee@corp.org' AND age > 30")
    "SELECT id FROM users WHERE email = 'redacted' AND age > 30"
    >>> redact("mail to ann.lee@corp.org or +49 170 1234567, card 4111 1111 1111 1111")
    'mail to person@example.com or +10000000000, card 0000000000000000'
    """
    text = _SECRET.sub(lambda m: m[1] + ("'redacted'" if m[2].startswith("'") else "0"), text)
    text = _KEY_VALUE.sub(r"\1redacted", text)
    text = _EMAIL.sub("person@example.com", text)
    text = _TOKEN.sub("redacted", text)
    text = _IBAN.sub("XX00REDACTED", text)
    text = _PHONE.sub(
        lambda m: "+10000000000" if sum(map(str.isdigit, m[0])) >= 9 and not _DATE.match(m[0]) else m[0], text
    )
    text = _SSN.sub("000-00-0000", text)
    return _CARD.sub(lambda m: "0000000000000000" if _is_card(m[0]) else m[0], text)


_DATE = re.compile(r"\d{2}[./-]\d{2}[./-]\d{4}|\d{4}[./-]\d{2}")
