"""Pages for reading: self-contained HTML with one look, for a wide screen, a phone and paper."""

import re
from html import escape


def page(title, lead, body, style=""):
    """A page of a title, a sentence below it and a body of HTML; `style` is CSS of its own."""
    body = f"<p>{escape(lead)}</p>\n{body}" if lead else body
    return PAGE.format(title=escape(title), body=body, style=STYLE + style)


def table_page(title, table, note):
    """A page of a table of strings, a line a row in all of the window, and a note below it."""
    return page(title, "", f'{html_table(table)}\n<p class="note">{escape(note)}</p>', WIDE)


def html_table(table, numbers=()):
    """A table of strings as HTML that scrolls by itself where it is too wide.

    Columns in `numbers` are set flush right and never broken.
    """
    aligned = {name: ' class="number"' if name in numbers else "" for name in table}
    head = "".join(f'<th scope="col"{aligned[name]}>{escape(name)}</th>' for name in table)
    body = "".join(
        "<tr>"
        + "".join(f"<td{aligned[name]}>{minus_signs(row[name])}</td>" for name in table)
        + "</tr>\n"
        for row in table.to_dict("records")
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def minus_signs(text):
    """Text as HTML, with a minus before numbers and not a hyphen."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", escape(str(text)))


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 60rem;
  padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
a { color: #2166ac; }
.source, .note, dl, .reading { color: #555; font-size: .9rem; }
.reading p { max-width: 50rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  margin: .4rem 0; }
caption { font-style: italic; text-align: left; }
thead th { border-bottom: 1.5px solid #222; border-top: 1.5px solid #222; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td { border-bottom: 1px solid #eee; }
.number { text-align: right; white-space: nowrap; }
"""
WIDE = """
body { max-width: none; }
th, td { white-space: nowrap; }
.note { max-width: 46rem; }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""
