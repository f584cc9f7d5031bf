#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens pages of html_profile in a headless Chromium and compares what they show with the stacks.

    tests/html/check.py TOOL            lists the checks
    tests/html/check.py TOOL CHECK      prints what differs; status 1 if something does
"""
import collections
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import zlib

sys.dont_write_bytecode = True
import stacks as source  # noqa: E402

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--window-size=1440,900"]
LOAD_MS = 1000  # the bar, printed; timing gates nothing below three times of it
ROWS_MAX, SHOWN_MAX = 200, 400  # as the page has them
TITLE = "<b>t</b></title><script>document.documentElement.dataset.pwned='title'</script>"
TOOL = None


def page(stacks, view="mixed", title="a title", output="html"):
    run = subprocess.run([TOOL, output, view, title], input=source.encode(stacks),
                         capture_output=True, check=True)
    return run.stdout.decode()


class Dom(html.parser.HTMLParser):
    """What a check looks at: attributes of <html>, tags, texts by id, rows of the table."""

    def __init__(self, text):
        super().__init__()
        self.root, self.tags, self.by_id, self.rows = {}, collections.Counter(), {}, []
        self.open = []
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags[tag] += 1
        if tag == "html":
            self.root = {k[5:]: v for k, v in attrs.items() if k.startswith("data-")}
        if tag == "td" and "data-samples" in attrs:
            self.rows[-1][0].append(int(attrs["data-samples"]))
        if tag == "span" and "title" in attrs and self.rows and self.open[-1][0] == "td":
            self.rows[-1][1].append(attrs["title"])  # the text is cut
        if tag == "tr" and "rows" in [i for _, i in self.open]:
            self.rows.append(([], []))
        if tag not in ("meta", "link", "input", "br", "img"):
            self.open.append((tag, attrs.get("id")))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self.open:
            return
        tag, _ = self.open[-1]
        for _, name in self.open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data
        if tag == "title":
            self.title += data
        if tag == "b" and self.rows and ("td", None) in self.open:
            self.rows[-1][1].append(data)


def browse(text, words=None, script=None, real_time=False, shot=None):
    """The page's DOM after it ran, with words behind the # and, for clicks, a script of the test."""
    if script:
        text = text.replace("</body>", f"<script>{script}</script></body>")
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "page.html")
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
        url = f"file://{file}#{urllib.parse.urlencode(words or {})}"
        flags = FLAGS + [f"--user-data-dir={folder}/profile"]
        if not real_time:
            flags.append("--virtual-time-budget=5000")
        if shot:
            subprocess.run([BROWSER, *flags, "--window-size=1000,420", f"--screenshot={folder}/x.png", url], capture_output=True,
                           timeout=120)
            return pathlib.Path(folder, "x.png").read_bytes()
        run = subprocess.run([BROWSER, *flags, "--dump-dom", url], capture_output=True, timeout=120)
    dom = Dom(run.stdout.decode("utf-8", "replace"))
    if "ready" not in dom.root:
        raise AssertionError(f"the page has drawn nothing: {run.stderr.decode(errors='replace')[-300:]}")
    return dom


def browse_steps(text, steps):
    """The attributes of the page after each of these addresses, in one visit."""
    script = """
    const steps = %s, seen = [], d = document.documentElement.dataset;
    const next = () => {
        if (steps.length) location.hash = steps.shift(); else d.seen = JSON.stringify(seen);
    };
    addEventListener("hashchange", () => { seen.push({ ...d }); next(); });
    next();
    """ % json.dumps([urllib.parse.urlencode(words) for words in steps])
    return json.loads(browse(text, {"step": "0"}, script).root["seen"])


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:300]!r}, not {str(wanted)[:300]!r}")


# What a page has to show, from the stacks alone.

def name_of(frame):
    name = frame.name or "[unknown]"
    return f"{name}_[k]" if frame.kind == source.KERNEL else name


def label_of(frame):
    name = name_of(frame)
    if frame.kind != source.PYTHON or not frame.file:
        return name
    return f"{name} ({frame.file}:{frame.line})" if frame.line else f"{name} ({frame.file})"


def keys_of(stack, lines=True):
    def key(frame):
        python = frame.kind == source.PYTHON
        return (frame.kind, name_of(frame), frame.file, frame.line if lines and python else 0)
    return [(0, stack.comm, "", 0)] + [key(f) for f in stack.frames]


def view_of(stacks, view):
    kinds = {"python": (source.PYTHON, source.MARKER),
             "native": (source.NATIVE, source.KERNEL, source.INTERPRETER, source.MARKER),
             "full": range(6)}[view]
    return [source.Stack(s.count, [f for f in s.frames if f.kind in kinds], s.pid, s.tid, s.comm)
            for s in stacks]


def prefixes(stacks, inverted=False, lines=True):
    """Samples by path from the root: the nodes of a tree."""
    nodes = collections.Counter()
    for stack in stacks:
        keys = keys_of(stack, lines)
        if inverted:
            keys.reverse()
        path = 0
        for key in keys:
            path = hash((path, key))
            nodes[path, key] += stack.count
    return nodes


def function_sums(stacks):
    sums = collections.defaultdict(lambda: [0, 0])
    for stack in stacks:
        keys = [k[:3] for k in keys_of(stack, lines=False)[1:]]
        for key in set(keys):
            sums[key][1] += stack.count
        if keys:
            sums[keys[-1]][0] += stack.count
    return sums


def matched(stacks, pattern):
    return sum(s.count for s in stacks
               if any(re.search(pattern, label_of(f)) for f in s.frames) or re.search(pattern, s.comm))


def total(stacks):
    return sum(s.count for s in stacks)


def check_rows(dom, stacks):
    """The table against the sums: same figures in the same order, same name at each."""
    sums = function_sums(stacks)
    kinds = ["", "native", "Python", "kernel", "interpreter", "marker"]
    wanted = collections.Counter()
    for (kind, name, file), (self_, total_) in sums.items():
        wanted[self_, total_, name, file or kinds[kind]] += 1
    same("functions", int(dom.root["functions"]), len(sums))
    same("rows", len(dom.rows), min(len(sums), ROWS_MAX))
    for (figures, texts) in dom.rows:
        row = (*figures, *texts)
        if not wanted[row]:
            raise AssertionError(f"a row that should not be: {row}")
        wanted[row] -= 1
    figures = sorted(((a, b) for a, b in sums.values()), reverse=True)[:ROWS_MAX]
    same("figures", [tuple(f) for f, _ in dom.rows], figures)


def views():
    stacks = source.large(3000)
    text = page(stacks)
    for view in ("python", "native", "full"):
        dom = browse(text, {"view": view})
        seen = view_of(stacks, view)
        same(f"{view} total", dom.root["total"], str(total(stacks)))
        same(f"{view} nodes", dom.root["nodes"], str(len(prefixes(seen)) + 1))
        check_rows(dom, seen)


def mixed_is_what_folded_says():
    """The page's own default view against the lines of another exporter."""
    for stacks in (source.demo(), source.large(1000)):
        by_label = {label_of(f): f for s in stacks for f in s.frames}
        seen = []
        for line in page(stacks, output="folded").splitlines():
            path, count = line.rsplit(" ", 1)
            comm, *labels = path.split(";")
            seen.append(source.Stack(int(count), [by_label[l] for l in labels], comm=comm))
        dom = browse(page(stacks))
        same("total", dom.root["total"], str(total(stacks)))
        same("nodes", dom.root["nodes"], str(len(prefixes(seen)) + 1))
        check_rows(dom, seen)


def inverted():
    stacks = source.demo()
    dom = browse(page(stacks), {"view": "full", "invert": "1"})
    nodes = prefixes(stacks, inverted=True)
    same("inverted", dom.root["inverted"], "true")
    same("shape", dom.root["shape"], "icicle")
    same("nodes", dom.root["nodes"], str(len(nodes) + 1))
    dom = browse(page(stacks), {"view": "full", "invert": "1", "zoom": "cblas_dgemm"})
    wanted = max(n for (_, key), n in nodes.items() if key[1] == "cblas_dgemm")
    same("samples at the root of cblas_dgemm", dom.root["zoom-total"], str(wanted))


def lines_merge():
    stacks = source.demo()
    dom = browse(page(stacks), {"view": "full", "lines": "0"})
    same("nodes", dom.root["nodes"], str(len(prefixes(stacks, lines=False)) + 1))


def search():
    stacks = source.demo()
    wanted = {p: matched(stacks, p) for p in ("pricing\\.py:7[78]", "^sqlite3_", "_\\[k\\]$", "no such name",
                                              "Basket|Discounts", "Basket")}
    wanted["_[k]"] = matched(stacks, "_\\[k\\]")  # the text itself, which it is no pattern of
    wanted["("] = matched(stacks, "\\(")  # no pattern
    wanted["baSket"] = 0
    wanted["basket"] = wanted["Basket"]
    seen = browse_steps(page(stacks), [{"view": "full", "search": p} for p in wanted])
    for pattern, root in zip(wanted, seen, strict=True):
        same(pattern, root["matched"], str(wanted[pattern]))


def zoom():
    stacks = source.demo()
    nodes = prefixes(stacks)
    wanted = max(n for (_, key), n in nodes.items() if key[1] == "SearchView.get")
    below = [s for s in stacks if any(f.name == "SearchView.get" for f in s.frames)]
    dom = browse(page(stacks), {"view": "full", "zoom": "SearchView.get", "search": "sqlite3"})
    same("zoom", dom.root["zoom"], "SearchView.get")
    same("samples of it", dom.root["zoom-total"], str(wanted))
    same("matched in it", dom.root["matched"], str(matched(below, "sqlite3")))
    same("status", dom.by_id["status-name"], "SearchView.get (/srv/shop/views/search.py:33)")


def threads():
    stacks = source.demo()
    text = page(stacks)
    one = [s for s in stacks if s.tid == 4243]
    dom = browse(text, {"view": "full", "who": "t1"})
    same("total", dom.root["total"], str(total(one)))
    check_rows(dom, one)
    dom = browse(text, {"who": "t99"})
    same("total of a thread that is not", dom.root["total"], str(total(stacks)))


def deep_recursion():
    stacks = source.deep()
    dom = browse(page(stacks))
    same("total", dom.root["total"], "100")
    same("functions", dom.root["functions"], str(len(function_sums(stacks)) - 1))
    fib = [(f, t) for f, t in dom.rows if t[0] == "fib"]
    same("recursion counts once", fib[0][0], [30, 100])


def hostile():
    stacks = source.hostile()
    bidi = re.compile("[\u202a-\u202e\u2066-\u2069]")

    def clean(name):
        name = bidi.sub("\ufffd", name)
        return name if len(name) <= SHOWN_MAX else None  # cut: looked at below

    for view in ("mixed", "full"):
        dom = browse(page(stacks, view, TITLE), {"search": source.HOSTILE[0]} if view == "full" else None)
        same("a script of a name ran", dom.root.get("pwned"), None)
        same("total", dom.root["total"], str(total(stacks)))
        same("elements", {t: n for t, n in dom.tags.items() if t in ("script", "img", "svg", "iframe", "title")},
             {"script": 2, "title": 1})
        same("title", dom.title.startswith(TITLE), True)
        same("heading", dom.by_id["title"], TITLE)
        if view != "mixed":
            continue
        names = {t[0] for _, t in dom.rows}
        for stack in stacks:
            name = clean(name_of(stack.frames[-1]))
            if name is not None and name not in names:
                raise AssertionError(f"{name!r} is not in the table")
        for long in ("A", "é"):
            same("a long name is cut", f"{long * SHOWN_MAX}…" in names, True)


def invalid_bytes():
    frames = [source.Frame(source.NATIVE, "bad\udcff\udcc0\udcafbytes", "x.so")]
    dom = browse(page([source.Stack(5, frames)]))
    same("row", dom.rows[0][1], ["bad\ufffd\ufffd\ufffdbytes", "x.so"])


def no_network():
    text = page(source.demo())
    viewer = re.sub('<script type="application/json".*?</script>', "", text, flags=re.S)
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "innerHTML", "outerHTML",
                 "insertAdjacentHTML", "document.write", "eval(", "new Function", "@import", "url("):
        same(f"{word} in the page", word in viewer, False)
    same("links", re.findall(r'(?:src|href)="(?!data:)[^"]*', viewer), [])
    same("addresses", set(re.findall(r"https?://[^'\"\s]+", viewer)), {"http://www.w3.org/2000/svg"})
    same("policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'" in viewer, True)
    same("noscript", "<noscript>" in viewer, True)


def empty_profile():
    dom = browse(page([]))
    same("total", dom.root["total"], "0")
    same("words", dom.by_id["empty"], "No samples.")


def keys_and_mouse():
    """What a user does, by events of a script of the test; each step notes what the page became."""
    script = """
    const said = [], d = document.documentElement.dataset, q = id => document.getElementById(id);
    const key = k => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true, cancelable: true }));
    const mouse = (type, x, y) => { const b = q("canvas").getBoundingClientRect();
        q("canvas").dispatchEvent(new MouseEvent(type, { clientX: b.left + x, clientY: b.top + y, bubbles: true })); };
    const say = text => said.push(text);
    key("i"); say(d.inverted); key("i"); say(d.inverted);
    key("t"); say(d.theme); key("t"); say(d.theme);
    key("v"); say(d.view); key("v"); key("v"); key("v"); say(d.view);
    key("o"); say(d.shape);
    mouse("mousemove", 40, 8 + 20 * 2 + 5); say(q("status-name").textContent); say(String(q("tip").hidden));
    mouse("click", 40, 8 + 20 * 2 + 5); say(d.zoom);
    say(location.hash.includes("zoom=") ? "zoom in the address" : location.hash);
    key("Escape"); say(d.zoom);
    key("/"); say(document.activeElement.id);
    q("search").value = "deflate"; q("search").dispatchEvent(new Event("input")); say(d.matched);
    key("Escape"); say(String(d.matched)); say(q("search").value);
    q("rows").children[0].click(); say(String(d.matched === q("rows").children[0].children[1].dataset.samples));
    key("Escape");
    for (const k of ["+", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "-"]) key(k);
    q("threads").value = "t0"; q("threads").dispatchEvent(new Event("change")); say(d.total);
    location.hash = "#view=python&theme=dark";
    addEventListener("hashchange", () => { say(d.view + " " + d.theme + " " + d.total); d.said = said.join("|"); });
    """
    stacks = source.demo()
    dom = browse(page(stacks), {"theme": "light"}, script)
    wanted = ["true", "false", "dark", "light", "python", "mixed", "icicle", "_start", "false", "_start",
              "zoom in the address", "all", "search", str(matched(stacks, "deflate")), "undefined", "", "true",
              str(total([s for s in stacks if s.tid == 4242])), f"python dark {total(stacks)}"]
    same("steps", (dom.root.get("said") or "").split("|"), wanted)


def pixels(png):
    """The colours of a PNG of 8-bit RGB or RGBA, counted."""
    at, data, width, height, kind = 8, b"", 0, 0, 0
    while at < len(png):
        size, name = int.from_bytes(png[at:at + 4], "big"), png[at + 4:at + 8]
        body = png[at + 8:at + 8 + size]
        if name == b"IHDR":
            width, height, kind = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big"), body[9]
        data += body if name == b"IDAT" else b""
        at += 12 + size
    step = {2: 3, 6: 4}[kind]
    raw, stride, before = zlib.decompress(data), width * step, bytearray(width * step)
    colours = collections.Counter()
    for y in range(height):
        line = bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        unfilter(raw[y * (stride + 1)], line, before, step)
        before = line
        colours.update(line[i:i + 3].hex() for i in range(0, stride, step))
    return colours


def unfilter(kind, line, before, step):
    for i in range(len(line)) if kind else ():
        left = line[i - step] if i >= step else 0
        up, corner = before[i], before[i - step] if i >= step else 0
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda v: abs(guess - v))
        line[i] = line[i] + (0, left, up, (left + up) // 2, paeth)[kind] & 255


def colours_by_kind():
    """Boxes of each kind are on the screen, in both themes, and far more of them than of a legend."""
    frames = {"native": source.NATIVE, "python": source.PYTHON, "kernel": source.KERNEL,
              "interpreter": source.INTERPRETER}
    style = re.search("<style>(.*?)</style>", page(source.demo()), re.S)[1]
    stacks = [source.Stack(1, [source.Frame(kind, "f", "f", 1)], tid=4242) for kind in frames.values()]
    for theme, part in zip(("light", "dark"), style.split("data-theme")):
        seen = pixels(browse(page(stacks, "full"), {"theme": theme}, shot=True))
        for name in frames:
            base = re.search(rf"--{name}: #(\w+)", part)[1]
            shades = {"".join(f"{round(c + (255 - c) * by):02x}" for c in bytes.fromhex(base))
                      for by in (0, 0.07, 0.14, 0.035, 0.105)}
            if sum(seen[s] for s in shades) < 2000:
                raise AssertionError(f"{theme}: {sum(seen[s] for s in shades)} pixels of {name}")


def load_time():
    stacks = source.large()
    text = page(stacks)
    doms = [browse(text, real_time=True) for _ in range(3)]
    best = min(int(d.root["ready"]) for d in doms)
    print(f"{len(stacks)} stacks, {doms[0].root['nodes']} boxes, {len(text) / 1e6:.1f} MB: drawn {best} ms after"
          f" navigation (bar {LOAD_MS} ms)")
    same("stacks", doms[0].root["stacks"], str(len(stacks)))
    same("total", doms[0].root["total"], str(total(stacks)))
    same("boxes on screen", int(doms[0].root["rects"]) > 1000, True)
    same("slow beyond all noise", best < 3 * LOAD_MS, True)


CHECKS = [load_time, views, mixed_is_what_folded_says, inverted, lines_merge, search, zoom, threads,
          deep_recursion, hostile, invalid_bytes, no_network, empty_profile, keys_and_mouse, colours_by_kind]


def main():
    global TOOL
    TOOL = sys.argv[1]
    if len(sys.argv) == 2:
        print("\n".join(c.__name__ for c in CHECKS))
        return 0
    try:
        {c.__name__: c for c in CHECKS}[sys.argv[2]]()
    except AssertionError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
