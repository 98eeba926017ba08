"""Read a YAML file into a `Config`, with errors that name file, key, value and the nearest name."""

import os
import re
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from yaml.error import MarkedYAMLError

from graphguard.config.sections import Config
from graphguard.config.values import parse_as_of
from graphguard.errors import BadSetting, ConfigError, UnknownSetting

MERGE = "tag:yaml.org,2002:merge"
"""A key `<<`, which may stand twice: each merges another mapping."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which no mapping has a key twice: the second would silently undo the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read the mapping as it is written; raises MarkedYAMLError where a key stands twice."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            if key.value in lines:
                problem = f"'{key.value}' stands there already in line {lines[key.value]}; keep one"
                raise MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node


def load_config(path: Path, *, as_of: date | str | None = None) -> Config:
    """Read and check the config at `path`; `as_of` overrides the file's own.

    Raises:
        ConfigError: The file is missing or no YAML mapping.
        UnknownSetting: It has a key that no section knows.
        BadSetting: A value is impossible.
    """
    try:
        raw = _Loader(_with_variables(path.read_text(encoding="utf-8"), path)).get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); pass an existing config file"
        raise ConfigError(message) from error
    except yaml.YAMLError as error:
        message = f"{path}: not valid YAML ({_yaml_words(error)})"
        raise ConfigError(message) from error
    if not isinstance(raw, dict):
        message = f"{path}: must hold a mapping of sections, found {type(raw).__name__}"
        raise ConfigError(message)
    raw.setdefault("root", str(path.resolve().parent))
    if as_of is not None:
        raw["as_of"] = as_of
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], path: str) -> Config:
    """Check a mapping of settings; `path` names its origin in errors."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise _first_error(error, path) from error


def parse_day(text: str, option: str) -> date:
    """Read a day from an option of the command line, which the error names."""
    try:
        return parse_as_of(text)
    except ValueError as error:
        place = "command line"
        raise BadSetting(place, option, str(error)) from error


def _yaml_words(error: yaml.YAMLError) -> str:
    """Where YAML stumbled and over what; the file's text around it is left out."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    began = f" {error.context}" if error.context else ""
    if error.context_mark is not None and error.context_mark.line != mark.line:
        began += f" that begins in line {error.context_mark.line + 1}"
    told = f",{began}" if began else ""
    return f"line {mark.line + 1}, column {mark.column + 1}{told}: {error.problem}"


def _with_variables(text: str, path: Path) -> str:
    """Put the environment's values in for `${NAME}`; `${today}` is read later, by the setting."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            reason = "the environment has no such variable; set it or write the value"
            raise BadSetting(str(path), match[0], reason)
        return found

    return re.sub(r"\$\{(?!today\})([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def _first_error(error: ValidationError, path: str) -> ConfigError:
    """The error to show: unknown keys first, for they usually cause the rest."""
    details = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    first = details[0]
    # Pydantic's own names for a choice of words are no part of the setting's name.
    place = tuple(str(part) for part in first["loc"] if not str(part).startswith("literal["))
    dotted = ".".join(place)
    if first["type"] == "extra_forbidden":
        return UnknownSetting(path, dotted, _known_keys(first["loc"][:-1]))
    if first["type"] == "missing":
        return BadSetting(path, dotted, "is required and missing")
    reason = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "tuple_type":
        reason = "must be a list, as [a, b]"
    if "got" not in reason and not isinstance(first["input"], dict):
        reason = f"{reason}, got {first['input']!r}"
    return BadSetting(path, dotted or "config", reason)


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    """Names that the section at `place` knows."""
    kind: Any = Config
    for part in place:
        kind = _step(kind, part)
    kind = _section(kind)
    return list(kind.model_fields) if kind is not None else []


def _step(kind: Any, part: int | str) -> Any:
    section = _section(kind)
    if section is not None and isinstance(part, str) and part in section.model_fields:
        return section.model_fields[part].annotation
    inner = [one for one in get_args(kind) if one is not str and one is not Ellipsis]
    # A discriminator that pydantic adds to the place of a union member names its class.
    named = [one for one in inner if getattr(one, "__name__", None) == part]
    return (named or inner or [kind])[-1]


def _section(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            found = _section(one)
            if found is not None:
                return found
    return None
