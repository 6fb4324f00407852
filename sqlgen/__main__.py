"""``python -m sqlgen`` is the command line."""

from sqlgen.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
