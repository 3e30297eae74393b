from html.parser import HTMLParser

import pandas as pd

from halfseen.pages import html_table, minus_signs, page, table_page

VOID = {"meta"}


class Balance(HTMLParser):
    """Notes the elements that are opened and closed out of order, and all text."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def balance(text):
    parser = Balance()
    parser.feed(text)
    return parser


def test_a_page_is_one_file_with_a_title_and_every_element_closed():
    text = page("A < B", "a & b", "<p>body</p>", "p { color: red; }")
    parser = balance(text)
    assert (parser.open, parser.wrong) == ([], [])
    assert parser.text.count("A < B") == 2
    assert "a & b" in parser.text
    assert "p { color: red; }" in text
    assert not any(word in text for word in ("http", "<script", "{{", "url("))


def test_a_table_escapes_what_it_holds_and_sets_numbers_flush_right():
    table = html_table(pd.DataFrame({"Model": ["<b>x</b>"], "z": ["-1.5"]}), numbers=["z"])
    assert '<th scope="col" class="number">z</th>' in table
    assert '<td>&lt;b&gt;x&lt;/b&gt;</td><td class="number">−1.5</td>' in table
    assert balance(table).wrong == []


def test_a_page_of_a_table_holds_title_table_and_note_in_this_order():
    table = pd.DataFrame({"Model": ["<b>ViT</b>", "CNN"], "Original": ["0.5 (0.1)", "−"]})
    parser = balance(table_page("Table 1", table, "A <note>."))
    assert (parser.open, parser.wrong) == ([], [])
    assert [text for text in parser.text if text.strip()][-8:] == [
        "Table 1", "Model", "Original", "<b>ViT</b>", "0.5 (0.1)", "CNN", "−", "A <note>.",
    ]  # fmt: skip


def test_a_minus_stands_before_numbers_only():
    assert minus_signs("-0.1 [-0.2, 0.3] of CIFAR-100, original-center, 1.-2") == (
        "−0.1 [−0.2, 0.3] of CIFAR-100, original-center, 1.-2"
    )
