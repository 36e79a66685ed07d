"""Whether the LaTeX of a table is well formed, as far as a check without TeX can show."""

import re

NESTED = r"\\begin\{tabular\}\[[tb]\].*?\\end\{tabular\}"


def check_table(text: str) -> None:
    """Check that what is opened closes, and that each line has as many columns as are declared."""
    bare = re.sub(r"\\[\\{}%$&#_]", "", "\n".join(line for line in text.splitlines() if not line.startswith("%")))
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0 and bare.count("$") % 2 == 0
    assert not re.search("[%#_^~]", re.sub(r"\$[^$]*\$", "", bare))
    open_ones = []
    for kind, name in re.findall(r"\\(begin|end)\{(table\*?|tabular)\}", text):
        assert kind == "begin" or open_ones.pop() == name
        open_ones += [name] if kind == "begin" else []
    assert not open_ones
    declared = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    tables = re.findall(r"\\toprule\n(.*?)\n\\bottomrule\n", text, re.DOTALL)
    assert len(tables) == len(declared) > 0
    for columns, body in zip(declared, tables, strict=True):
        lines = [re.sub(NESTED, "", line) for line in body.splitlines() if line != r"\midrule"]
        assert {columns_of(line) for line in lines} == {len(columns)} and all(line.endswith(r" \\") for line in lines)


def columns_of(line: str) -> int:
    """How many columns a line of a table fills."""
    cells = re.split(r"(?<!\\)&", line.removesuffix(r" \\"))
    spans = [re.match(r" ?\\multicolumn\{(\d+)\}", cell) for cell in cells]
    return sum(int(span[1]) if span else 1 for span in spans)
