"""``python -m wsgate`` is the command ``wsgate``."""

from wsgate.cli import main

main()
