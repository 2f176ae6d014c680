"""Flags as the original tools take them: underscores, and booleans in the style of absl.

`--flag`, `--noflag` and `--flag=true|t|1|false|f|0` all work; `--flag false`, which the original
tools read as true, is refused. Hyphens may stand for underscores everywhere.
"""

from typing import Any

import click

_TRUE = ("true", "t", "1", "yes", "y")
_FALSE = ("false", "f", "0", "no", "n")


class AbslCommand(click.Command):
    """A command whose boolean options also take `=true` and `=false`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = kwargs.setdefault("context_settings", {})
        settings.setdefault("token_normalize_func", lambda name: name.replace("-", "_"))
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite absl's spellings of booleans to those that click knows, then parse."""
        flags = {
            param.name: param
            for param in self.params
            if isinstance(param, click.Option) and param.is_flag and param.secondary_opts
        }
        out = []
        for number, arg in enumerate(args):
            name, equals, value = arg.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            if not arg.startswith("--") or name not in flags:
                out.append(arg)
                continue
            if not equals:
                following = args[number + 1].lower() if number + 1 < len(args) else ""
                if following in (*_TRUE, *_FALSE):
                    raise click.UsageError(
                        f"--{name} {following}: write --{name}={following}; as a word of its own "
                        "it would not be read",
                        ctx,
                    )
                out.append(f"--{name}")
            elif value.lower() in _TRUE:
                out.append(f"--{name}")
            elif value.lower() in _FALSE:
                out.append(f"--no{name}")
            else:
                raise click.UsageError(f"--{name}={value}: neither true nor false", ctx)
        return super().parse_args(ctx, out)


def split_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list; quotes around them, a shell's affair, are dropped."""
    names = (name.strip().strip("'\"") for name in text.split(","))
    return tuple(name for name in names if name)
