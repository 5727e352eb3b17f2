"""Tables as people have them: broken in many ways, and odd but whole."""

from __future__ import annotations

import json
from collections.abc import Mapping

TEXTS = ("a lovely film", "what a bore", "a joy to watch", "dull and long") * 3
LABELS = ("good", "bad") * 6


def csv(rows: list[tuple[str, str]], *, header: str = "text,label") -> bytes:
    return "\n".join([header, *(f"{text},{label}" for text, label in rows), ""]).encode()


def plain() -> list[tuple[str, str]]:
    return list(zip(TEXTS, LABELS, strict=True))


def lines(*extra: object) -> bytes:
    """JSON lines of the plain rows, and more."""
    rows = [{"text": text, "label": label} for text, label in plain()]
    return "\n".join(
        [*map(json.dumps, rows), *(e if isinstance(e, str) else json.dumps(e) for e in extra)]
    ).encode()


def some(text: str, label: str = "good", **options: str) -> bytes:
    """The plain rows, and one with this text and label in quotes."""
    quoted = tuple('"' + part.replace('"', '""') + '"' for part in (text, label))
    return csv([*plain(), quoted], **options)


BOM = b"\xef\xbb\xbf"

WHOLE: Mapping[str, tuple[bytes, int]] = {
    "plain.csv": (csv(plain()), 12),
    "bom.csv": (BOM + csv(plain()), 12),
    "utf-16.csv": (csv(plain()).decode().encode("utf-16"), 12),
    "windows-lines.csv": (csv(plain()).replace(b"\n", b"\r\n"), 12),
    "old-mac-lines.csv": (csv(plain()).replace(b"\n", b"\r"), 12),
    "blank-lines.csv": (csv(plain()).replace(b"\n", b"\n\n"), 12),
    "no-last-line-end.csv": (csv(plain()).rstrip(), 12),
    "blanks-around-labels.csv": (csv([(t, f"  {label}\t") for t, label in plain()]), 12),
    "blanks-around-columns.csv": (csv(plain(), header=" Text , LABEL "), 12),
    "two-unicode-forms.csv": (
        csv(
            [
                (t, ("caf\u00e9", "cafe\u0301", "th\u00e9")[i % 3])
                for i, (t, _) in enumerate(plain())
            ]
        ),
        12,
    ),
    "one-megabyte.csv": (some("long " * 200_000), 13),
    "a-word-of-one-megabyte.csv": (some("x" * 1_000_000), 13),
    "newlines-inside.csv": (some("first line\nsecond line\r\nthird"), 13),
    "quotes-inside.csv": (some('she said "no"'), 13),
    "nul-inside.csv": (some("a\0b"), 13),
    "escape-sequences.csv": (some("\x1b[2J\x1b]0;title\x07gone"), 13),
    "escape-in-a-label.csv": (csv([(t, f"\x1b[31m{label}") for t, label in plain()]), 12),
    "right-to-left.csv": (some("\u202egnp.exe"), 13),
    "formula.csv": (some("=cmd|' /C calc'!A0"), 13),
    "html.csv": (some("<script>alert(1)</script>"), 13),
    "only-punctuation.csv": (some("?!?!"), 13),
    "other-scripts.csv": (some("素晴らしい 🎬 मूवी"), 13),
    "words-for-nothing.csv": (csv([*plain(), ("NaN", "good"), ("null", "bad"), ("NA", "bad")]), 15),
    "labels-of-nothing.csv": (
        csv([(t, ("NaN", "None")[i % 2]) for i, (t, _) in enumerate(plain())]),
        12,
    ),
    "semicolons.csv": (csv(plain()).replace(b",", b";"), 12),
    "tabs.tsv": (csv(plain()).replace(b",", b"\t"), 12),
    "a-quote-alone.tsv": (csv([*plain(), ('"unfinished', "good")]).replace(b",", b"\t"), 13),
    "many-columns.csv": (
        csv(
            [(t, f"{label}{',x' * 500}") for t, label in plain()],
            header="text,label" + "".join(f",c{i}" for i in range(500)),
        ),
        12,
    ),
    "plain.jsonl": (lines(), 12),
    "blank-line.jsonl": (lines().replace(b"\n", b"\n\n", 1), 12),
    "more-keys-in-some.jsonl": (lines({"text": "fine", "label": "good", "more": [1, 2]}), 13),
    "a-list.json": (b"[" + b",".join(lines().split(b"\n")) + b"]", 12),
    "numbers-for-labels.jsonl": (
        "\n".join(json.dumps({"text": t, "label": i % 2}) for i, t in enumerate(TEXTS)).encode(),
        12,
    ),
}
"""Tables that train, and how many samples they have."""

SOME: Mapping[str, tuple[bytes, int]] = {
    "no-text.csv": (csv([*plain(), ("", "good")]), 1),
    "blank-text.csv": (csv([*plain(), (" \t ", "good"), ("\u00a0\u2003", "bad")]), 2),
    "no-label.csv": (csv([*plain(), ("fine", ""), ("fine", "  ")]), 2),
    "short-rows.csv": (csv(plain()) + b"alone\nanother\n", 2),
    "nothing-but-commas.csv": (csv(plain()) + b",\n,\n", 2),
    "null.jsonl": (lines({"text": None, "label": "good"}, {"text": "fine", "label": None}), 2),
    "keys-missing.jsonl": (lines({"label": "good"}, {"text": "fine"}, {}), 3),
}
"""Tables with rows that cannot be used, and how many those are."""

BROKEN: Mapping[str, bytes] = {
    "nothing.csv": b"",
    "a-byte.csv": b"\0",
    "only-a-bom.csv": BOM,
    "only-blanks.csv": b"  \n \n",
    "only-a-header.csv": b"text,label\n",
    "latin-1.csv": some("caf\u00e9").decode().encode("latin-1"),
    "invalid-utf-8.csv": csv(plain()) + b"broken \xff\xfe\x80,good\n",
    "half-a-character.csv": csv(plain()) + b"half \xe2\x82",
    "half-utf-16.csv": csv(plain()).decode().encode("utf-16")[:-1],
    "utf-16-without-bom.csv": csv(plain()).decode().encode("utf-16-le"),
    "too-many-fields.csv": csv(plain()) + b"a, b,good\n",
    "an-open-quote.csv": csv(plain()) + b'"never closed,good\n',
    "columns-of-one-name.csv": csv(plain(), header="text,text"),
    "columns-without-names.csv": csv(plain(), header=","),
    "no-labels.csv": csv(plain(), header="text,other"),
    "one-label.csv": csv([(t, "good") for t in TEXTS]),
    "no-row-usable.csv": csv([("", "good"), ("fine", "")]),
    "a-image.csv": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "a-zip.csv": b"PK\x03\x04" + bytes(range(256)),
    "a-page.csv": b"<html><body>text,label</body></html>",
    "nothing.jsonl": b"",
    "cut.jsonl": lines()[:-9],
    "no-json.jsonl": b"hello\nworld\n",
    "rubbish-behind.jsonl": lines("{]"),
    "invalid-utf-8.jsonl": lines() + b'\n{"text": "\xff\xfe", "label": "good"}\n',
    "numbers.jsonl": b"1\n2\n3\n",
    "brackets-without-end.json": b"[" * 100_000,
    "lists-for-texts.jsonl": lines().replace(b'"a lovely film"', b'["a", "b"]'),
    "objects-for-texts.jsonl": lines().replace(b'"a lovely film"', b'{"a": 1}'),
    "objects-for-labels.jsonl": lines().replace(b'"good"', b'{"a": 1}'),
    "nothing.parquet": b"",
    "no-parquet.parquet": b"PAR1" + bytes(99) + b"PAR1",
    "text.parquet": csv(plain()),
    "nothing.tsv": b"",
    "columns-differ.tsv": csv(plain()).replace(b",", b"\t") + b"a\tb\tc\td\n",
}
"""Files that cannot be trained on as they are; every one is refused, by its name."""

EITHER: Mapping[str, bytes] = {
    "mixed-types.jsonl": lines({"text": 5, "label": "good"}, {"text": "fine", "label": 7}),
    "mixed-truths.jsonl": lines({"text": "fine", "label": True}, {"text": "fine", "label": 1.5}),
    "numbers-too-large.jsonl": lines({"text": "fine", "label": 10**400}),
    "nan.jsonl": lines('{"text": "fine", "label": NaN}', '{"text": NaN, "label": "good"}'),
    "surrogates.jsonl": lines('{"text": "\\ud800", "label": "good"}'),
    "a-key-twice.jsonl": lines('{"text": "a", "text": "b", "label": "good"}'),
    "a-deep-cell.jsonl": lines({"text": "fine", "label": "good", "deep": [[[[[[1]]]]]]}),
    "a-long-name.csv": csv(plain(), header=f"text,label,{'x' * 100_000}").replace(
        b"\n", b",\n", 99
    ),
    "a-label-of-10,000-characters.csv": some("fine", "x" * 10_000),
    "a-label-with-a-newline.csv": some("fine", "go\nod"),
    "a-label-with-a-nul.csv": some("fine", "go\0od"),
    "nul-bytes-between.csv": csv(plain()).replace(b"film", b"fi\0\0lm"),
    "a-bom-inside.csv": csv(plain()).replace(b"film", BOM + b"film"),
    "form-feeds.csv": csv(plain()).replace(b"film", b"fi\x0clm"),
    "line-separators.csv": some("a\u2028b\u2029c\x85d"),
    "python-objects.csv": some("{'a': __import__('os')}"),
}
"""Tables of which either is right: to train, or to say what is wrong; never anything else."""


def parquet() -> dict[str, bytes]:
    """Parquet, cut off and damaged, of texts."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": list(TEXTS), "label": list(LABELS)}), buffer)
    content = buffer.getvalue()
    shares = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    cut = {f"cut-{share}.parquet": content[: int(share * len(content))] for share in shares}
    third = len(content) // 3
    holes = {
        f"hole-{start}.parquet": content[:start] + bytes(third) + content[start + third :]
        for start in (4, third, 2 * third)
    }
    return {**cut, **holes}
