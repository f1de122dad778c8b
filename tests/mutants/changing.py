"""Changes to a file, each in one small place, by the rules of mutmut.

Other than mutmut, which keeps all changes of a function side by side in one file, this gives each
change as a file of its own: so that what is decorated is changed too, and what stands outside of
every function, such as a table.
"""

import difflib
from dataclasses import dataclass

import libcst
from libcst.matchers import Attribute, Call, Name, matches
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, OuterFunctionProvider
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

NOTHING_IGNORED = IgnoredCode(set(), set(), set())


@dataclass(frozen=True)
class Change:
    """One change: in which file and line, and the file as it then is."""

    file: str
    line: int
    source: str
    was: str
    becomes: str


class _Everywhere(MutationVisitor):
    """Changes what mutmut leaves alone, because it could not keep it beside what was there; but not
    the words of errors and of the log, which no test holds."""

    METADATA_DEPENDENCIES = (PositionProvider, OuterFunctionProvider)

    def __init__(self, *given):
        super().__init__(*given)
        self._raises = 0

    def on_visit(self, node):
        self._raises += isinstance(node, libcst.Raise)
        return super().on_visit(node)

    def on_leave(self, node):
        self._raises -= isinstance(node, libcst.Raise)

    def _skip_node_and_children(self, node):
        if isinstance(node, libcst.FunctionDef):
            return False  # also where it is decorated
        if isinstance(node, libcst.Import | libcst.ImportFrom) or _is_logged(node):
            return True
        if self._raises and isinstance(node, libcst.SimpleString) and " " in node.value:
            return True
        if isinstance(node, libcst.If) and matches(node.test, Name("TYPE_CHECKING")):
            return True
        return super()._skip_node_and_children(node)


def _is_logged(node):
    """Return whether this writes to the log."""
    logger = Attribute(attr=Name("log") | Name("_log")) | Call(func=Name("log"))
    return matches(node, Call(func=Attribute(value=logger)))


def changes_of(root, file):
    """Return every change of a file that can be compiled."""
    code = (root / file).read_text()
    wrapper = MetadataWrapper(libcst.parse_module(code))
    visitor = _Everywhere(mutation_operators, NOTHING_IGNORED)
    module = wrapper.visit(visitor)
    places, spans = wrapper.resolve(PositionProvider), wrapper.resolve(ByteSpanPositionProvider)
    raw, made = code.encode(), {}
    for mutation in visitor.mutations:
        node, span = mutation.original_node, spans[mutation.original_node]
        put = module.code_for_node(mutation.mutated_node).encode()
        changed = (raw[: span.start] + put + raw[span.start + span.length :]).decode()
        if changed == code or changed in made or not _compiles(changed):
            continue
        line = places[node].start.line
        was, becomes = _difference(code, changed)
        made[changed] = Change(str(file), line, changed, was, becomes)
    return list(made.values())


def _compiles(source):
    try:
        compile(source, "changed", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _difference(before, after):
    """Return the lines that were there, and those that stand there."""
    lines = [*difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)][2:]
    return tuple(
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
