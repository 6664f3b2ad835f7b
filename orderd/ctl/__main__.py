"""``python -m orderd.ctl`` is ``orderctl``."""

from orderd.ctl.cli import main

main(prog_name="orderctl")
