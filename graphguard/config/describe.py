"""The reference of every setting, made from the models' own words."""

import ast
import inspect
import json
import textwrap
import types
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from graphguard.config.sections import Config
from graphguard.config.values import Duration, Size
from graphguard.errors import ConfigError

BEGIN, END = "<!-- settings: made by `graphguard settings --write` -->", "<!-- end of settings -->"


def settings_markdown() -> str:
    """A table per section: setting, type, default and meaning.

    >>> "| `graph.window` | duration | 30d |" in settings_markdown()
    True
    """
    parts: list[str] = []
    _section(Config, "", parts)
    return "\n".join(parts).strip() + "\n"


def update_document(path: Path) -> None:
    """Put the reference between the document's marks.

    Raises:
        ConfigError: The document lacks the marks.
    """
    path.write_text(with_reference(path.read_text(encoding="utf-8"), path), encoding="utf-8")


def with_reference(text: str, path: Path) -> str:
    """The document's text with the present reference between its marks."""
    if BEGIN not in text or END not in text:
        message = f"{path}: lacks the marks '{BEGIN}' and '{END}'; write them where it belongs"
        raise ConfigError(message)
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{settings_markdown()}{END}{tail}"


def _section(model: type[BaseModel], prefix: str, parts: list[str]) -> None:
    title = f"`{prefix.rstrip('.')}`" if prefix else "Top level"
    parts += ["", f"## {title}", "", (model.__doc__ or "").strip().splitlines()[0], ""]
    parts += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    inner: list[tuple[str, type[BaseModel]]] = []
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        if not prefix and name == "root":
            continue
        kind = field.annotation
        for mark, section in _sections(kind):
            inner.append((f"{prefix}{name}{mark}.", section))
        words = " ".join(meanings.get(name, "").split())
        row = (f"`{prefix}{name}`", _kind(kind), _default(field), words.replace("|", "\\|"))
        parts.append("| " + " | ".join(row) + " |")
    for place, section in inner:
        _section(section, place, parts)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a section, and of those it is made from."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(lines):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                    found[field.target.id] = inspect.cleandoc(str(text.value.value))
    return found


def _sections(kind: Any) -> list[tuple[str, type[BaseModel]]]:
    """Sections inside a field's type, with the mark that their place gets."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [("", kind)]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is dict:
        return [(".<name>", one) for _, one in _sections(inner[1])]
    if origin is tuple:
        return [("[]", one) for _, one in _sections(inner[0])]
    if origin in (Union, types.UnionType):
        return [found for one in inner for found in _sections(one)]
    return []


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is dict:
        return f"{_kind(inner[1])} by name"
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"list of {_kind(inner[0])}"
        return f"{len(inner)} of {_kind(inner[0])}"
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(one) for one in inner if one is not type(None))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        Duration: "duration",
        Size: "size",
    }
    return plain.get(kind, "day" if getattr(kind, "__name__", "") == "date" else str(kind))


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "see below"
    if value is None:
        return "none"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        shown = [one.model_dump(mode="json", exclude_defaults=True) for one in value]
        return f"`{json.dumps(shown)}`"
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or "none"
    if isinstance(value, dict) and not value:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
