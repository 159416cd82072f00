"""Every link of a written report, followed."""

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit


class Tags(HTMLParser):
    """The tags of a page, its handlers of events, its anchors and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.events, self.anchors, self.links = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]
        found = dict(attrs)
        self.anchors |= {found["id"]} if "id" in found else set()
        self.links += [found[name] for name in ("href", "src") if name in found]


def dead_links(folder):
    """Return (page, link) of every link to a file or anchor that is not there."""
    pages = {path.resolve(): Tags(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            whole = target.is_file() and target.is_relative_to(folder.resolve())
            if not whole or (parts.fragment and parts.fragment not in pages[target].anchors):
                dead.append((path.name, link))
    return dead
