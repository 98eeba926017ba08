"""Imports point one way, packages on one line do not import each other, and names are full."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import graphguard
import graphguard.features
import graphguard.jobs

LAYERS = (
    ("jobs",),
    ("checks",),
    ("erase",),
    ("investigate", "report"),
    ("policy", "sinks"),
    ("scores",),
    ("rings", "models"),
    ("features", "index", "evaluate", "near"),
    ("graph",),
    ("tables", "worlds"),
    ("config",),
    ("schema",),
    ("ring_schema",),
    ("table_schema",),
    ("errors",),
)
"""DESIGN's order; `jobs` stands above `checks`, since its command line runs them."""

RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ROOTS = {
    "features": Path(graphguard.features.__file__).parent,
    "jobs": Path(graphguard.jobs.__file__).parent,
}


def modules() -> list[tuple[str, Path]]:
    root = Path(graphguard.__file__).parent
    found = [
        ("graphguard." + ".".join(path.relative_to(root).with_suffix("").parts), path)
        for path in root.rglob("*.py")
    ]
    for name, folder in ROOTS.items():
        found += [(f"graphguard.{name}.{path.stem}", path) for path in folder.glob("*.py")]
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return {name for name in names if name.split(".")[0] == "graphguard"}


def subject(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_imports_point_down_the_layers():
    seen = 0
    for module, path in modules():
        mine = subject(module)
        if mine == "__init__":
            continue  # the package's own door imports lazily from the top
        for name in imported(path):
            theirs = subject(name)
            assert theirs in RANK, f"{module} imports {name}, which no layer names"
            seen += 1
            if theirs != mine:
                assert RANK[theirs] > RANK[mine], f"{module} must not import {name}"
    assert seen > 50


def test_nothing_is_imported_by_the_name_of_its_folder():
    for module, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                first = (node.module or "").split(".")[0]
                assert first not in ROOTS, f"{module} imports '{node.module}' by its folder"


def test_the_list_of_packages_names_every_folder():
    import tomllib

    top = Path(__file__).parents[1]
    settings = tomllib.loads((top / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"graphguard", "graphguard.features", "graphguard.jobs"}
    folders |= {f"graphguard.{path.parent.name}" for path in top.glob("graphguard/*/__init__.py")}

    assert set(settings["packages"]) == folders
    assert {name.split(".")[1] for name in folders if "." in name} <= set(RANK)


def test_no_module_reads_pickles_or_runs_text_as_code():
    banned = {"pickle", "joblib", "dill", "shelve", "marshal"}
    for module, path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not {one.name.split(".")[0] for one in node.names} & banned, module
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in banned, module
            if isinstance(node, ast.Call):
                text = ast.unparse(node.func)
                assert text not in {"eval", "exec", "torch.load", "yaml.load"}, f"{module}: {text}"


def test_every_package_is_built_into_the_wheel():
    top = Path(__file__).parents[1]
    build = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]
    folders = {path.parent.relative_to(top) for path in top.glob("graphguard/**/__init__.py")}
    names = {".".join(folder.parts) for folder in folders}

    assert set(build["packages"]) == names | set(build["package-dir"])


def test_the_command_line_starts_without_either_build_of_faiss_and_xgboost():
    code = (
        "import sys; sys.modules.update(faiss=None, xgboost=None)\n"
        "from graphguard.jobs.cli import main\n"
        "sys.argv = ['graphguard', '--help']\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)

    assert ended.returncode == 0, ended.stderr.decode()
    assert b"nightly" in ended.stdout
