"""``python -m engine`` is ``orderd-engine``."""

from engine.cli import main

main()
