"""Links between documents lead to files and headings that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(document):
    """Those of its headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lost(document):
    """The links of a document that lead nowhere."""
    found = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    for link in found:
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    assert not list(lost(document))


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# What `it` is: a table\n\n```\n# no heading\n```\n")
    links = ["other.md", "other.md#what-it-is-a-table", "https://example.org/none.md", "none.md", "other.md#no-heading"]
    (tmp_path / "document.md").write_text(" ".join(f"[words]({link})" for link in links))
    assert list(lost(tmp_path / "document.md")) == ["none.md", "other.md#no-heading"]
