"""``python -m orderd`` is ``orderd``."""

from orderd.cli import main

main()
