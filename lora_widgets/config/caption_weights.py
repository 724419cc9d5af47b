"""Weights written into captions: ``(words:1.3)``, ``(words)`` and ``[words]``, nested as one likes."""

import re
from typing import NamedTuple

MORE, LESS = 1.1, 1 / 1.1
"""What a pair of plain round or square brackets multiplies the weight of its words by."""
_PIECE = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|(?P<opening>[(\[])"
    r"|:\s*(?P<weight>[+-]?(\d+\.?\d*|\.\d+))\s*\)"
    r"|(?P<closing>[)\]])"
    r"|(?P<text>[^\\()\[\]:]+|:)"
)


class WeightedPart(NamedTuple):
    """A stretch of a caption whose words have one weight; 1 is that of words without brackets."""

    text: str
    weight: float


def weighted_parts(caption: str) -> tuple[WeightedPart, ...]:
    r"""Divide a caption into parts of one weight, in order, without the brackets that give it.

    ``(x:1.3)`` multiplies the weight of x by 1.3, ``(x)`` by 1.1 and ``[x]`` divides it by 1.1; the factors
    of nested brackets multiply. ``\(`` is a bracket of the caption itself. A bracket that is never closed
    acts to the end, a closing one without an opening one stays as it is. That is how AUTOMATIC1111's program
    and kohya-ss/sd-scripts (strategy_base: parse_prompt_attention) read it.
    """
    parts: list[WeightedPart] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for piece in _PIECE.finditer(caption):
        found = piece.groupdict()
        if found["opening"]:
            opened[found["opening"]].append(len(parts))
        elif found["weight"] and opened["("]:
            _multiply(parts, float(found["weight"]), since=opened["("].pop())
        elif found["closing"] == ")" and opened["("]:
            _multiply(parts, MORE, since=opened["("].pop())
        elif found["closing"] == "]" and opened["["]:
            _multiply(parts, LESS, since=opened["["].pop())
        else:
            text = found["escaped"] if piece[0].startswith("\\") else piece[0]
            parts.append(WeightedPart(text or "", 1.0))
    for bracket, factor in (("(", MORE), ("[", LESS)):
        for since in opened[bracket]:
            _multiply(parts, factor, since=since)
    return _joined(parts)


def words_of(caption: str) -> str:
    """Return a caption as it is read: without the brackets and numbers that give weights."""
    return "".join(part.text for part in weighted_parts(caption))


def _multiply(parts: list[WeightedPart], factor: float, *, since: int) -> None:
    parts[since:] = [WeightedPart(part.text, part.weight * factor) for part in parts[since:]]


def _joined(parts: list[WeightedPart]) -> tuple[WeightedPart, ...]:
    """Join neighbours of one weight, which the tokenizer then reads as one text."""
    joined: list[WeightedPart] = []
    for part in parts:
        if joined and joined[-1].weight == part.weight:
            joined[-1] = WeightedPart(joined[-1].text + part.text, part.weight)
        elif part.text:
            joined.append(part)
    return tuple(joined)
