"""What README.md and docs/OPERATIONS.md tell operators is what the programs say and have."""

import re
from pathlib import Path
from typing import Final

import click
import pytest

from engine.cli import main as engine_command
from orderd.cli import main as orderd_command
from orderd.ctl.cli import main as orderctl_command

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = (ROOT / "README.md").read_text()
OPERATIONS: Final = (ROOT / "docs" / "OPERATIONS.md").read_text()
SOURCE: Final = "\n".join(path.read_text() for top in ("orderd", "engine") for path in (ROOT / top).rglob("*.py"))
COMMANDS: Final = {"orderd": orderd_command, "orderctl": orderctl_command, "orderd-engine": engine_command}
STATES: Final = {"UDP_ENABLED", "GRPC_FALLBACK", "ENGINE_DOWN"}


def section(text: str, title: str) -> str:
    """What stands below the heading ``title``, up to the next heading."""
    return re.split(r"^#+ ", text.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[str]:
    """What is quoted in the first column of the tables of ``text``."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [quoted for cell in cells for quoted in re.findall(r"`([^`]+)`", cell)]


def commands_told() -> list[str]:
    """Lines of code blocks that run one of our commands, without their comments."""
    blocks = re.findall(r"^```\n(.*?)^```", README + OPERATIONS, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"(\.venv/bin/)?(orderd|orderctl|orderd-engine) ", line)]


@pytest.mark.parametrize("line", [line for line in first_column(section(README, "What the log says")) if ":" in line])
def test_each_line_of_the_log_that_is_explained_is_written_by_that_part(line: str) -> None:
    part, _, event = line.partition(": ")
    assert f'get_logger("{part}")' in SOURCE
    if event in STATES:
        assert f'"{event}"' in SOURCE
    else:
        said = {f'"{event}"', f'"{event} ', f'"{event.removesuffix("HALTED")}{{change.state.name}}"'}
        assert any(text in SOURCE for text in said)


@pytest.mark.parametrize("line", first_column(section(OPERATIONS, "When a daemon ends with 3")))
def test_each_last_line_that_is_explained_is_among_the_errors(line: str) -> None:
    said = re.sub(r"DIRECTORY|ID|\.\.\.|, [A-Z]+$", "@", line).split("@")
    assert all(text in SOURCE for text in said)


def test_the_states_of_the_transport_are_explained_in_both() -> None:
    assert all(f"transport: {state}`" in README and f"| `{state}` |" in OPERATIONS for state in STATES)


@pytest.mark.parametrize("line", commands_told())
def test_each_command_that_is_told_exists_with_its_options(line: str) -> None:
    program, name, *words = line.removeprefix(".venv/bin/").split()
    group = COMMANDS[program]
    assert isinstance(group, click.Group)
    command = group.get_command(click.Context(group), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_to_files_and_headings_that_exist(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}, target


def test_files_that_the_architecture_names_exist() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "ARCHITECTURE.md").read_text()))
    there = [
        f"/{path.relative_to(ROOT)}" for top in ("orderd", "engine", "tests") for path in (ROOT / top).rglob("*.py")
    ]
    assert len(named) > 50
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []
