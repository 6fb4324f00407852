"""Names as people would say them."""

from __future__ import annotations

import re

__all__ = ["natural_name"]

_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d{2})|[\s_\-./]+")


def natural_name(identifier: str) -> str:
    """Split an identifier at underscores, punctuation and changes of case, in lower case.

    >>> natural_name("stu_id"), natural_name("OrderLineID"), natural_name("Total Sales (USD)")
    ('stu id', 'order line id', 'total sales (usd)')
    """
    words = [word for word in _BOUNDARY.split(identifier) if word]
    return " ".join(words).lower() or identifier.lower()
