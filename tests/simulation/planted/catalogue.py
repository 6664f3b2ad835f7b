"""The planted bugs: a patch each in ``patches/``, named after it.

A patch is a unified diff against the product, with a sentence on what goes wrong and a line ``Kind:`` before it. It can
be read, and applied by hand with ``patch -p1``. Here its line numbers mean nothing: what a hunk replaces has to be in
its file exactly once, so that the list does not rot when the code moves on.

Nothing of this is ever in the product: a bug is planted in the memory of a process
(:mod:`tests.simulation.planted.planting`).
"""

import re
from pathlib import Path
from typing import Final

import attrs

PATCHES: Final = Path(__file__).with_name("patches")
_FILE: Final = re.compile(r"^--- a/(\S+)\.py\n\+\+\+ b/\1\.py\n", re.MULTILINE)
_HUNK: Final = re.compile(r"^@@ .*\n", re.MULTILINE)


class StaleBug(Exception):
    """A patch that does not fit the product any more."""


@attrs.frozen
class Edit:
    """``new`` in the place of ``old`` in the source of ``module``."""

    module: str
    old: str
    new: str


@attrs.frozen
class Planted:
    """One bug."""

    name: str
    kind: str
    """What real systems had, in a few words."""
    why: str
    """What goes wrong, and what has to happen for it to show."""
    edits: tuple[Edit, ...]

    def modules(self) -> list[str]:
        """Those that it changes."""
        return list(dict.fromkeys(edit.module for edit in self.edits))

    def source(self, module: str, source: str) -> str:
        """The source of ``module`` with the bug in it. Raises :class:`StaleBug`."""
        for edit in self.edits:
            if edit.module == module:
                found = source.count(edit.old)
                if found != 1:
                    raise StaleBug(f"{self.name}: {found} times in {module}:\n{edit.old}")
                source = source.replace(edit.old, edit.new)
        return source


def parse(name: str, patch: str) -> Planted:
    """The bug in the text of a patch. Raises :class:`StaleBug` for one that says nothing."""
    head, *files = _FILE.split(patch)
    why, _, kind = head.strip().rpartition("\nKind: ")
    edits = []
    for path, hunks in zip(files[::2], files[1::2], strict=True):
        for hunk in _HUNK.split(hunks)[1:]:
            # Between two files stands an empty line, which is none of the hunk's.
            lines = [line for line in hunk.splitlines(keepends=True) if line != "\n"]
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            edits.append(Edit(path.replace("/", "."), old, new))
    if not (why and kind and edits):
        raise StaleBug(f"{name}: no patch with a sentence and a kind")
    return Planted(name, kind, " ".join(why.split()), tuple(edits))


ALL: Final[dict[str, Planted]] = {
    path.stem: parse(path.stem, path.read_text(encoding="utf-8")) for path in sorted(PATCHES.glob("*.patch"))
}
"""By name."""
