"""Every command and every setting is documented, and every example config is loaded."""

import re
from pathlib import Path

import pytest
import typer.main

from graphguard.config.describe import settings_markdown, with_reference
from graphguard.config.load import load_config
from graphguard.jobs.cli import app

TOP = Path(__file__).parents[1]
CONFIGS = sorted((TOP / "configs").rglob("*.yaml"))


def commands(group: object, prefix: str = "") -> list[tuple[str, object]]:
    found = []
    for name, command in group.commands.items():
        full = f"{prefix}{name}"
        inner = hasattr(command, "commands")
        found += commands(command, f"{full} ") if inner else [(full, command)]
    return found


COMMANDS = commands(typer.main.get_command(app))


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_and_option_is_documented(name, command):
    text = (TOP / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `graphguard ([a-z -]+)`\n(.*?)(?=^## |\Z)", text, re.M | re.S))

    assert name in sections, f"docs/commands.md has no section for `graphguard {name}`"
    for parameter in command.params:
        for option in getattr(parameter, "opts", []):
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in sections[name], f"`graphguard {name}`: {option}"


def test_no_command_is_documented_that_does_not_exist():
    text = (TOP / "docs" / "commands.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^## `graphguard ([a-z -]+)`$", text, re.M))

    assert named == {name for name, _ in COMMANDS}


@pytest.mark.parametrize("path", CONFIGS, ids=[path.name for path in CONFIGS])
def test_every_example_config_is_loaded(path, monkeypatch):
    monkeypatch.setenv("GRAPHGUARD_DATA", "/data")
    monkeypatch.setenv("GRAPHGUARD_BENCH", "/bench")

    assert load_config(path).logs


PAGES = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md")), *TOP.glob("benchmarks/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=[path.stem for path in PAGES])
def test_every_link_between_pages_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), link


def test_the_reference_of_settings_is_that_of_the_code():
    path = TOP / "docs" / "configuration.md"
    text = path.read_text(encoding="utf-8")

    assert with_reference(text, path) == text, "run `make docs`"


def test_every_setting_has_a_meaning():
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", settings_markdown(), re.M)

    assert len(rows) > 80
    assert [name for name, meaning in rows if not meaning] == []


def test_every_decision_has_a_number_of_its_own_and_is_headed_by_it():
    pages = sorted((TOP / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(numbers) > 20
    assert len(set(numbers)) == len(numbers)
    heads = [page.read_text(encoding="utf-8").split(".")[0] for page in pages]
    assert heads == [f"# {number}" for number in numbers]
