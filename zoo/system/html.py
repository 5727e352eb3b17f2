"""Tables in HTML for notebooks; every name and value is escaped. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_TABLE = """\
{% if title %}<b>{{ title }}</b>{% endif %}
<table>
{% if header %}<thead><tr>{% for name in header %}<th>{{ name }}</th>{% endfor %}</tr></thead>{% endif %}
<tbody>
{% for row in rows %}<tr>{% for cell in row %}<td style="text-align: left">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
{% if more %}<i>{{ more }}</i>{% endif %}
"""


def html_table(
    rows: Iterable[Sequence[Any]], *, header: Sequence[str] = (), title: str = "", more: str = ""
) -> str:
    """Return a table.

    Args:
        rows: The cells of each row.
        header: Names of the columns; none by default.
        title: A line above.
        more: A line below.
    """
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(_TABLE)
    return template.render(rows=list(rows), header=header, title=title, more=more)


def html_facts(title: str, facts: Mapping[str, Any]) -> str:
    """A table of two columns: names and values."""
    return html_table(facts.items(), title=title)
