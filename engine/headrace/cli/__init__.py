"""The command line: `headrace`.

In:    arguments, HEADRACE_… variables, headrace.toml; for `dev` and `start` the user's own modules.
Out:   a node that runs (`dev`, `start`), a broker (`kafka`), or what a running node answers (`runs`, `events`, …).
Rules: a flag beats the environment, the environment beats the file. Importing this room imports next to nothing: what
       a command needs is imported when it runs. A `HeadraceError` is printed in its four parts and ends with status 1.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process."""
    from headrace.cli.commands import headrace

    headrace.main(prog_name="headrace")
