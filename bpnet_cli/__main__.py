"""`python -m bpnet_cli` is the `bpnet` command."""

from bpnet_cli.cli import main

main(prog_name="bpnet")
