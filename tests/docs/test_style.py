"""The rules of docs/style.md that a program can check: words of public names, the length of sentences, and `Any`."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from markdown_it.tree import SyntaxTreeNode

from core.base.paths import PROJECT
from tests.docs.markdown import tree

PRIVATE_WORDS = {
    *("told", "tell", "said", "found", "asked", "gone", "lit"),
    *("beside", "made", "missed", "taken", "odd", "anew", "apart"),
}
LONGEST = 25  # words of a sentence
MOST_ANY = 110  # uses of `Any`, which no checker of types checks

MODULES = sorted(path for package in ("core", "dashboard") for path in (PROJECT / package).rglob("*.py"))
TEMPLATES = sorted((PROJECT / "tools" / "report" / "pages").rglob("*.md"))
WRITTEN = {PROJECT / "docs" / page.relative_to(PROJECT / "tools" / "report" / "pages") for page in TEMPLATES}
PAGES = [*PROJECT.glob("*.md"), *TEMPLATES, *(page for page in (PROJECT / "docs").rglob("*.md") if page not in WRITTEN)]
NOT_PROSE = re.compile(r"\\[a-zA-Z(]|\bSELECT\b|\{[^}]*:[^}]*;|<\w+[ >]")  # LaTeX, regexes, SQL, CSS, HTML
END = re.compile(r"(?<=[.!?])[)\"*_']*\s+|\n\s*\n|\n\s*[-*|]")


def public_names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield public functions, classes, methods and fields, each with its line."""
    classes = [node for node in module.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for owner in (module, *classes):
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.lineno, node.name
            elif owner is not module and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.lineno, node.target.id


def private_words(name: str) -> set[str]:
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    return set() if name.startswith("_") else words & PRIVATE_WORDS


def literals(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module without its docstrings; a value inside an f-string counts as one word."""
    skipped = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr):
            skipped.add(node.value)
        if isinstance(node, ast.JoinedStr):
            skipped.update(part for part in ast.walk(node) if part is not node)
    for node in ast.walk(module):
        if node in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values),
            )


def prose(node: SyntaxTreeNode) -> Iterator[str]:
    """Yield the paragraphs, headings and list items of a Markdown page, without its tables and code blocks."""
    if node.type == "inline":
        breaks = ("softbreak", "hardbreak")
        yield "".join(" " if part.type in breaks else part.content for part in node.walk() if not part.children)
    elif node.type != "table":
        for child in node.children:
            yield from prose(child)


def long_sentences(text: str) -> list[str]:
    """Return the sentences with too many words; a value `{{ ... }}` of a template counts as one."""
    text = re.sub(r"\{\{.*?\}\}", "X", text)
    return [sentence for sentence in END.split(text) if len(sentence.split()) > LONGEST]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, line: int, text: str) -> str:
    return f"{path.relative_to(PROJECT)}:{line}: {text}"


def test_public_names_have_no_private_words():
    names = ((path, *each) for path in MODULES for each in public_names(parsed(path)))
    bad = [place(*each) for each in names if private_words(each[-1])]
    assert not bad, "\n".join(bad)


def test_sentences_of_the_program_are_short():
    texts = ((path, *each) for path in MODULES for each in literals(parsed(path)) if not NOT_PROSE.search(each[-1]))
    bad = [place(path, line, sentence) for path, line, text in texts for sentence in long_sentences(text)]
    assert not bad, "\n".join(bad)


def test_sentences_of_the_pages_are_short():
    bad = [
        f"{page.relative_to(PROJECT)}: {sentence}"
        for page in PAGES
        for text in prose(tree(page))
        for sentence in long_sentences(text)
    ]
    assert not bad, "\n".join(bad)


def uses_of_any(path: Path) -> Iterator[tuple[int, bool]]:
    """Yield the line of each use of `Any`, and whether a comment there or on the line before gives the reason."""
    with tokenize.open(path) as stream:
        tokens = list(tokenize.generate_tokens(stream.readline))
    reasons = {token.start[0] for token in tokens if token.type == tokenize.COMMENT and "Any: " in token.string}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Name) and node.id == "Any":
            yield node.lineno, not reasons.isdisjoint({node.lineno - 1, node.lineno})


def test_each_any_has_a_reason_and_they_stay_few():
    uses = [(path, line, reason) for path in MODULES for line, reason in uses_of_any(path)]
    bare = [place(path, line, "give the reason in a comment `# Any: ...`") for path, line, reason in uses if not reason]
    assert not bare, "\n".join(bare)
    assert len(uses) <= MOST_ANY
