"""Sources: what they mean, and that nothing slips into a command line or off https."""

import pytest

from flatshot.errors import ConfigError
from flatshot.packages.sources import Source, parse_source


@pytest.mark.parametrize(
    ("text", "scheme", "location", "members"),
    [
        ("https://a.org/b.zip", "https", "https://a.org/b.zip", ()),
        ("https://a.org/b.zip!c/d", "https", "https://a.org/b.zip", ("c/d",)),
        ("http://127.0.0.1:80/b", "http", "http://127.0.0.1:80/b", ()),
        ("file:/a/b", "file", "/a/b", ()),
        ("file:///a/b", "file", "/a/b", ()),
        ("file:~/b", "file", "~/b", ()),
        ("pypi:face-sdlr==1.1!a/b.pb", "pypi", "face-sdlr==1.1", ("a/b.pb",)),
        ("npm:@s/t@0.0.60!p.zip!q", "npm", "@s/t@0.0.60", ("p.zip", "q")),
        ("builtin:demo-scenes", "builtin", "demo-scenes", ()),
    ],
)
def test_forms(text: str, scheme: str, location: str, members: tuple[str, ...]) -> None:
    """Each form is read into its parts."""
    assert parse_source(text) == Source(text, scheme, location, members)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a!b", "ftp://a.org/b", "http://a.org/b", "http://127.0.0.1.evil.org/b"),
        *("https:", "https://", "https:///b", "https://[1/b", "https://a.org/b!", "file:b"),
        *("pypi:x", "pypi:x>=1", "pypi:--index-url=x==1", "pypi:x==1 --pre", "pypi:./x==1"),
        *("pypi:x==1;y", "pypi:x @ https://a.org", "npm:x", "npm:--registry=x@1", "npm:x@latest"),
        *("npm:../x@1", "npm:x@1 y", "npm:git+ssh://x@1", "builtin:../x", "builtin:"),
    ],
)
def test_what_is_no_source(text: str) -> None:
    """Options, paths, ranges and addresses do not pass as a package's name."""
    with pytest.raises(ConfigError):
        parse_source(text)
