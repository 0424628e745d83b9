"""The house: sizes, names, exports and the pages that describe the tree are true.

``python tests/test_house.py --table`` prints the table of modules for ``docs/architecture.md``.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src" / "arriero"
MODULES = sorted(SOURCE.rglob("*.py"))
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])

MODULE_LINES = 300
FUNCTION_LINES = 60
README_LINES = 120
FORBIDDEN_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "base", "misc"}
HEAVY = {"aiohttp", "rich", "apsw", "uvloop", "xllamacpp", "urllib3"}
VERSION = """
import sys
from arriero.cli import main
sys.argv = ["arriero", "--version"]
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def name_of(path: Path) -> str:
    """``core/request.py``."""
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def first_line(path: Path) -> str:
    """What the module says it is; empty if it does not."""
    return (ast.get_docstring(tree_of(path)) or "").split("\n", 1)[0]


def table() -> list[str]:
    """A line a module, as ``docs/architecture.md`` holds them; files without content are no modules."""
    return [
        f"| `{name_of(path)}` | {first_line(path).replace('|', chr(92) + '|')} |"
        for path in MODULES
        if path.read_text(encoding="utf-8").strip()
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring left out."""
    first = function.body[0]
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    docstring = first.end_lineno - first.lineno + 1 if said else 0
    return function.end_lineno - function.lineno + 1 - docstring


def words(name: str) -> set[str]:
    """``HttpCall`` and ``http_call`` are the words http and call."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(path) for path in MODULES if path.read_text(encoding="utf-8").strip() and not first_line(path)]

    assert silent == []


def test_the_architecture_page_has_the_line_of_every_module_and_no_other() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = [line.strip() for line in page.splitlines() if re.match(r"\| `[\w/]+\.py` \|", line.strip())]

    assert lines == table(), "python tests/test_house.py --table prints what it should hold"


def test_modules_are_short() -> None:
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    sizes = {f"{name_of(path)}:{function.name}": lines_of(function) for path in MODULES for function in functions(path)}

    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_no_module_or_class_has_a_name_that_says_nothing() -> None:
    classes = [node.name for path in MODULES for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef)]
    folders = {part for path in MODULES for part in path.relative_to(SOURCE).parts[:-1]}
    names = [*classes, *sorted(folders), *(path.stem for path in MODULES)]

    assert [name for name in names if words(name) & FORBIDDEN_WORDS] == []


def test_public_functions_and_classes_say_what_they_mean() -> None:
    silent = [
        f"{name_of(path)}:{node.name}"
        for path in MODULES
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_package_exports_what_it_imports(path: Path) -> None:
    body = tree_of(path).body
    # What is imported only for the type checker is handed out by the package's __getattr__.
    body += [inner for node in body if isinstance(node, ast.If) for inner in node.body]
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("arriero")]
    public = {alias.asname or alias.name for node in imports for alias in node.names}
    package = importlib.import_module(".".join(("arriero", *path.parent.relative_to(SOURCE).parts)))
    exported = getattr(package, "__all__", [])

    assert len(exported) == len(set(exported))
    assert set(exported) - {"__version__"} == public
    assert [name for name in exported if not hasattr(package, name)] == []


def test_the_version_is_told_without_a_heavy_import() -> None:
    told = subprocess.run([sys.executable, "-c", VERSION], capture_output=True, text=True, check=False)

    assert told.stdout.strip().endswith(importlib.import_module("arriero").__version__)
    assert HEAVY & {name.split(".")[0] for name in told.stderr.split()} == set()


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
    folders = [SOURCE, REPOSITORY / "tests", REPOSITORY / ".ci"]
    files = [*PAGES, *(path for folder in folders for path in folder.rglob("*.py"))]

    assert [str(path) for path in files if later.search(path.read_text(encoding="utf-8"))] == []


def test_the_readme_is_short_and_names_the_line_that_runs_the_tests() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    command = re.search(r"^readme_line='(.+)'$", (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(readme.splitlines()) <= README_LINES
    assert command is not None
    assert command[1] in readme


def test_every_link_between_the_pages_leads_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_reliability_page_names_tests_and_modules_that_are_there() -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| P\d+ ", line)]
    named = {name for row in rows for name in re.findall(r"`([\w/]+(?:\.(?:py|sql)|/))`", row)}
    lost = [
        name for name in sorted(named) if not any((base / name).exists() for base in (SOURCE, REPOSITORY / "tests"))
    ]

    assert len(rows) == 15
    assert all("test_" in row or "scale/" in row for row in rows)
    assert lost == []


def test_no_two_modules_of_the_tests_share_a_name() -> None:
    """They are imported by their bare names, so that of two the first one wins."""
    files = [file for file in (REPOSITORY / "tests").rglob("*.py") if file.parent.name != "fake_ollama"]
    names = Counter(file.name for file in files if file.name != "conftest.py")

    assert [name for name, count in names.items() if count > 1] == []


def test_the_licence_is_whole() -> None:
    licence = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_example_prompts_are_many_and_short_and_three_are_long() -> None:
    prompts = (REPOSITORY / "examples" / "prompts.txt").read_text(encoding="utf-8").splitlines()
    lengths = [len(prompt.split()) for prompt in prompts]

    assert len(set(prompts)) == len(prompts) >= 123
    assert sum(length <= 60 for length in lengths) == len(prompts) - 3
    assert all(350 <= length <= 450 for length in lengths if length > 60)


if __name__ == "__main__":
    if sys.argv[1:] != ["--table"]:
        sys.exit("usage: python tests/test_house.py --table")
    print("| module | what it is |\n| --- | --- |", *table(), sep="\n")  # noqa: T201
