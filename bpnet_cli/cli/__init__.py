"""The `bpnet` command: one thin function per verb, which turns flags into one workflow call.

This module imports only click, so that `--help` answers at once. Each verb imports the rest when it runs.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from bpnet_cli import __version__
from bpnet_cli.cli.benchmark_verbs import benchmark
from bpnet_cli.cli.data_verbs import dataset, dataset_convert
from bpnet_cli.cli.docs_verb import docs
from bpnet_cli.cli.evaluate_verb import evaluate
from bpnet_cli.cli.infer_verb import infer
from bpnet_cli.cli.model_verbs import export, import_, info, prune, train
from bpnet_cli.cli.spec_verbs import spec
from bpnet_cli.errors import BpnetError, StoppedByUser
from bpnet_cli.log import shown
from bpnet_cli.signals import handled

# Names of verbs that users of TAO know.
_ALIASES = {"inference": "infer"}


def on_a_terminal() -> bool:
    """Whether a person reads the errors. In logs and programs, an error is its message alone."""
    return sys.stderr.isatty()


class _Group(click.Group):
    """Turns errors for the user into one message and exit code 1. Any other error is a bug and keeps its traceback.

    Memory that runs out is an error for the user.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            # `kill`, `docker stop` and clusters send SIGTERM. The command then ends in the same way as after Ctrl-C.
            with handled((signal.SIGTERM,), signal.default_int_handler):
                return super().invoke(ctx)
        except StoppedByUser:
            ctx.exit(1)  # without this, click prints "Aborted!"
        except BpnetError as error:
            more = f"\nMore: bpnet docs {error.page}" if error.page and on_a_terminal() else ""
            raise click.ClickException(shown(str(error)) + more) from error
        except MemoryError as error:
            reason = f" ({error})" if str(error) else ""
            raise click.ClickException(
                f"there is not enough memory{shown(reason)}; use smaller inputs or batches, or a machine with more"
            ) from error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bpnet")
def main() -> None:
    """Train, evaluate, export and run bottom-up multi-person pose networks.

    \b
    Find people in a photo with the model in the box:
      bpnet infer photo.jpg

    \b
    Train a first network on drawn people (minutes, no downloads):
      bpnet dataset synthetic -o demo/train --images 1500
      bpnet dataset synthetic -o demo/validation --images 80 --seed 1
      bpnet train -e quickstart -r demo/run
      bpnet infer demo/validation/images -m demo/run/model.keras -r results
    """


for verb in (train, evaluate, infer, import_, prune, export, info, spec, dataset, dataset_convert, benchmark, docs):
    main.add_command(verb)
