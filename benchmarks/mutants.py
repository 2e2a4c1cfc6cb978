"""Small faults that code can have: what `mutation.py` puts into the core, one at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Mutant", "mutants"]

COMPARED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
REPLACED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """`was`, at bytes `start` to `stop` of a file, becomes `now`."""

    path: str
    line: int
    column: int
    start: int
    stop: int
    was: str
    now: str
    first: int  # line of the statement it stands in; 0 if that runs when the module is loaded
    last: int

    @property
    def id(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.was} -> {self.now}"


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of a file; `path` names it."""
    return _Finder(path, source).found


class _Finder:
    """All mutants of a file."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source.encode()
        self.begins = [0]
        for line in self.source.splitlines(keepends=True):
            self.begins.append(self.begins[-1] + len(line))
        self.found: list[Mutant] = []
        self.lines = (0, 0)
        for statement in ast.parse(source).body:
            self._statement(statement, inside=False)

    def _statement(self, node: ast.stmt, *, inside: bool) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_left_out(node):
            return
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno
        self.lines = (node.lineno, max(node.lineno, last)) if inside else (0, 0)
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self._expression(default)
            inside = True
        elif not isinstance(node, ast.ClassDef):
            self._parts(node)
        for name in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(node, name, []):
                for one in child.body if isinstance(child, ast.ExceptHandler) else [child]:
                    self._statement(one, inside=inside)

    def _parts(self, node: ast.stmt) -> None:
        """A statement itself, and its expressions."""
        if isinstance(node, (ast.Raise, ast.AugAssign, ast.Break)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            self._add(node, "pass")
        if isinstance(node, (ast.If, ast.While)):
            self._add(node.test, f"not ({ast.unparse(node.test)})")
        if isinstance(node, ast.Raise):  # what it says
            return
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.expr) and name != "annotation":
                    self._expression(child)
                elif isinstance(child, ast.withitem):
                    self._expression(child.context_expr)

    def _expression(self, node: ast.expr) -> None:
        if isinstance(node, ast.JoinedStr):
            return
        for other in _others(node):
            self._add(node, other)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.keyword):
                if child.arg != "strict":
                    self._expression(child.value)
            elif isinstance(child, ast.comprehension):
                for part in (child.iter, *child.ifs):
                    self._expression(part)
            elif isinstance(child, ast.expr):
                self._expression(child)

    def _add(self, node: Any, now: str) -> None:
        start = self.begins[node.lineno - 1] + node.col_offset
        stop = self.begins[node.end_lineno - 1] + node.end_col_offset
        was = " ".join(self.source[start:stop].decode().split())
        place = (self.path, node.lineno, node.col_offset, start, stop)
        self.found.append(Mutant(*place, was, now, *self.lines))


def _is_left_out(node: ast.stmt) -> bool:
    """Text, names for export, and what type checkers alone read."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id in ("__all__", "_log")
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _others(node: ast.expr) -> Iterator[str]:
    """What may stand in place of an expression."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield str(not node.value)
        elif isinstance(node.value, int):
            yield str(node.value + 1)
            if node.value > 1:
                yield str(node.value - 1)
        elif isinstance(node.value, float):
            yield str(node.value * 2 or 1.0)
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in COMPARED[type(operator)]:
                ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                yield f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"
    elif isinstance(node, ast.BinOp) and type(node.op) in REPLACED:
        yield f"({ast.unparse(ast.BinOp(node.left, REPLACED[type(node.op)](), node.right))})"
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"({ast.unparse(ast.BoolOp(other, node.values))})"
    elif isinstance(node, ast.UnaryOp):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.IfExp):
        yield f"({ast.unparse(ast.IfExp(node.test, node.orelse, node.body))})"
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict"):
                left = [*node.keywords[:i], *node.keywords[i + 1 :]]
                yield ast.unparse(ast.Call(node.func, node.args, left))
