"""How the code is laid out: no circle of imports, and no room that is too large."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("contracts", "chassis", "rulebook", "services", "console", "tools")
SMALL = ("chassis", "services/gateway")
LARGEST_FOLDER, LONGEST_FILE, MOST_METHODS = 14, 350, 20
STILL_TOO_LARGE: set[str] = set()


def modules():
    """Name every module of the product, with its file."""
    found = {}
    for file in (f for package in PACKAGES for f in (REPOSITORY / package).rglob("*.py")):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(file, known):
    """Name what a file imports, also inside of functions and for the types alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if inner in known else node.module)
    return found & known.keys()


def circle_in(graph):
    """Name the modules of a circle, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_imports_go_round_in_a_circle():
    known = modules()
    graph = {name: imports_of(file, known) - {name} for name, file in known.items()}
    assert sum(map(len, graph.values())) > 1000
    assert circle_in(graph) == []


def test_a_circle_would_be_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def files_of(folder):
    """List the files of a folder and below, migrations aside."""
    return [f for f in (REPOSITORY / folder).rglob("*.py") if "versions" not in f.parts]


@pytest.mark.parametrize("folder", SMALL)
def test_no_room_is_too_large(folder):
    files = files_of(folder)
    names = [file.parent for file in files]
    assert {str(f) for f in names if names.count(f) > LARGEST_FOLDER} == set()
    too_large = set()
    for file in files:
        text = file.read_text()
        classes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef))
        methods = max((sum(isinstance(n, ast.FunctionDef) for n in c.body) for c in classes),
                      default=0)  # fmt: skip
        if text.count("\n") > LONGEST_FILE or methods > MOST_METHODS:
            too_large.add(str(file.relative_to(REPOSITORY)))
    assert too_large == {name for name in STILL_TOO_LARGE if name.startswith(folder)}
