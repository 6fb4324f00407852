"""One file per rule; the order is in ``sqlgen.validation.RULES``."""
