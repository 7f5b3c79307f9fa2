"""Markdown and TeX as the chat's page draws them: what is made of what, whole and in pieces, however hostile."""

import random
import time

import chat_api
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHAPE = """async text => {
    const { markdown } = await import('./chat.js'), made = markdown(text);
    for (const one of made.querySelectorAll('figcaption, annotation')) one.remove();
    for (const one of made.querySelectorAll('*')) for (const name of one.getAttributeNames())
        if (!['href', 'start', 'checked', 'class'].includes(name)) one.removeAttribute(name);
    return made.innerHTML;
}"""


@pytest.fixture(scope="module")
def page(browser):
    complaints, asked = [], []
    with chat_api.serving(chat_api.Api()) as address:
        made = browser.new_page()
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on("console", lambda message: complaints.append(message.text))
        made.on("request", lambda request: asked.append(request.url))
        made.on("dialog", lambda dialog: complaints.append(dialog.message))
        made.goto(address)
        made.wait_for_selector(".example")
        yield made
        made.close()
    assert complaints == []
    assert all(url.startswith((address, "data:")) for url in asked)


CASES = {
    "plain": ("a b", "<p>a b</p>"),
    "paragraphs": ("a\n\nb", "<p>a</p><p>b</p>"),
    "a line's end is a break": ("a\nb  \nc\\\nd", "<p>a<br>b<br>c<br>d</p>"),
    "emphasis": (
        "*a* **b** ***c*** ~~d~~ _e_",
        "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em> <del>d</del> <em>e</em></p>",
    ),
    "nested emphasis": ("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"),
    "names are not emphasis": ("snake_case_name 2*3*4 ~5", "<p>snake_case_name 2<em>3</em>4 ~5</p>"),
    "open emphasis": ("**a *b", "<p>**a *b</p>"),
    "spaces hold emphasis back": ("a * b * c", "<p>a * b * c</p>"),
    "code": ("`a` ``b`c`` `` ` ``", "<p><code>a</code> <code>b`c</code> <code>`</code></p>"),
    "code is before emphasis": ("*a `b*` c", "<p>*a <code>b*</code> c</p>"),
    "open code": ("a `b", "<p>a `b</p>"),
    "escapes": (r"\*a\* \_ \# \\ \a", "<p>*a* _ # \\ \\a</p>"),
    "entities": ("&amp; &lt;b&gt; &#65; &#x42; &nothing; &", "<p>&amp; &lt;b&gt; A B &amp;nothing; &amp;</p>"),
    "markup is text": ("<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>"),
    "link": ('[a *b*](https://x.org/p_(q) "t")', '<p><a href="https://x.org/p_(q)">a <em>b</em></a></p>'),
    "link in angles": ("[a](<https://x.org/a b>)", '<p><a href="https://x.org/a%20b">a</a></p>'),
    "bare link": (
        "see https://x.org/a_b?c=d, ok.",
        '<p>see <a href="https://x.org/a_b?c=d">https://x.org/a_b?c=d</a>, ok.</p>',
    ),
    "bare link in brackets": ("(https://x.org/a_(b))", '<p>(<a href="https://x.org/a_(b)">https://x.org/a_(b)</a>)</p>'),
    "mail": ("<mailto:a@x.org>", '<p><a href="mailto:a@x.org">mailto:a@x.org</a></p>'),
    "image is a link": ("![a](https://x.org/a.png)", '<p><a href="https://x.org/a.png">a</a></p>'),
    "no link": ("[a] [b](c", "<p>[a] [b](c</p>"),
    "script link is text": ("[a](javascript:alert(1))", "<p><span>a</span></p>"),
    "heading": ("# a\n## b ##\n####### c\n#d", "<h3>a</h3><h4>b</h4><p>####### c<br>#d</p>"),
    "heading underlined": ("a\n===\nb\n---", "<h3>a</h3><h4>b</h4>"),
    "rule": ("---\n* * *\n___", "<hr><hr><hr>"),
    "quote": ("> a\nb\n> > c", "<blockquote><p>a<br>b</p><blockquote><p>c</p></blockquote></blockquote>"),
    "list": ("- a\n- b\n\nc", "<ul><li>a</li><li>b</li></ul><p>c</p>"),
    "loose list": ("- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
    "ordered": ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    "nested lists": (
        "- a\n  - b\n    1. c\n- d",
        "<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li><li>d</li></ul>",
    ),
    "lists nested by two spaces": ("1. a\n  - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
    "other bullets": ("- a\n* b", "<ul><li>a</li></ul><ul><li>b</li></ul>"),
    "tasks": ("- [x] a\n- [ ] b", '<ul><li class="task"><input>a</li><li class="task"><input>b</li></ul>'),
    "list with code": (
        "1. a\n\n   ```\n   b\n   ```\n2. c",
        '<ol><li><p>a</p><figure class="code"><pre><code>b</code></pre></figure></li><li><p>c</p></li></ol>',
    ),
    "fence": (
        "```python\nx = 1\n\n# *a*\n```\nb",
        '<figure class="code"><pre><code>x = <span class="number">1</span>\n\n'
        '<span class="comment"># *a*</span></code></pre></figure><p>b</p>',
    ),
    "open fence": ("~~~\na\n", '<figure class="code"><pre><code>a\n</code></pre></figure>'),
    "longer fence": ("````\n```\n````", '<figure class="code"><pre><code>```</code></pre></figure>'),
    "indented code": ("    a\n\n    b\nc", '<figure class="code"><pre><code>a\n\nb</code></pre></figure><p>c</p>'),
    "table": (
        "a | b\n:-: | --:\n1 | *2*\n\\| |",
        '<div class="wide"><table><thead><tr><th class="cell-c">a</th><th class="cell-r">b</th></tr></thead><tbody><tr>'
        '<td class="cell-c">1</td><td class="cell-r"><em>2</em></td></tr>'
        '<tr><td class="cell-c">|</td></tr></tbody></table></div>',
    ),
    "no table": ("a | b\nc | d", "<p>a | b<br>c | d</p>"),
    "prices are not math": ("from $5 to $10, and $20k", "<p>from $5 to $10, and $20k</p>"),
    "windows' line ends": ("a\r\n\r\nb", "<p>a</p><p>b</p>"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_markdown(name, page):
    text, wanted = CASES[name]
    assert page.evaluate(SHAPE, text) == wanted


TEX = {
    "x^2": "<msup><mi>x</mi><mn>2</mn></msup>",
    "x_1^{2n}": "<msubsup><mi>x</mi><mn>1</mn><mrow><mn>2</mn><mi>n</mi></mrow></msubsup>",
    r"\frac12": "<mfrac><mn>1</mn><mn>2</mn></mfrac>",
    r"\frac{a}{b}": "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>",
    r"\sqrt[3]{x}": "<mroot><mrow><mi>x</mi></mrow><mn>3</mn></mroot>",
    r"\sqrt x": "<msqrt><mi>x</mi></msqrt>",
    r"\alpha+\Omega": "<mi>α</mi><mo>+</mo><mi>Ω</mi>",
    r"\hat{x}": "<mover><mrow><mi>x</mi></mrow><mo>^</mo></mover>",
    r"\text{if } x": "<mtext>if&nbsp;</mtext><mi>x</mi>",
    r"\mathbb{R}": "<mi>ℝ</mi>",
    r"\mathbf{v}": "<mi>𝐯</mi>",
    r"\unknown x": "<mtext>\\unknown</mtext><mi>x</mi>",
    "f'(x)": "<msup><mi>f</mi><mo>′</mo></msup><mo>(</mo><mi>x</mi><mo>)</mo>",
    "3.14": "<mn>3.14</mn>",
    r"a \le b": "<mi>a</mi><mo>≤</mo><mi>b</mi>",
    r"\left( a \right]": "<mrow><mo>(</mo><mi>a</mi><mo>]</mo></mrow>",
    r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}": "<mrow><mo>(</mo><mtable>"
    "<mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr>"
    "<mtr><mtd><mi>c</mi></mtd><mtd><mi>d</mi></mtd></mtr></mtable><mo>)</mo></mrow>",
    r"\begin{cases} 1 \\ 2 \end{cases}": "<mrow>"
    "<mo>{</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr><mtr><mtd><mn>2</mn></mtd></mtr></mtable></mrow>",
    r"\binom nk": "<mrow><mo>(</mo><mfrac><mi>n</mi><mi>k</mi></mfrac><mo>)</mo></mrow>",
    r"\{x\}": "<mo>{</mo><mi>x</mi><mo>}</mo>",
    r"\operatorname{rank} A": "<mi>rank</mi><mi>A</mi>",
    "x^": "<msup><mi>x</mi><mrow></mrow></msup>",
    "}": "<mtext>}</mtext>",
    r"\frac": "<mfrac><mrow></mrow><mrow></mrow></mfrac>",
    r"\left(": "<mrow><mo>(</mo><mrow></mrow></mrow>",
    "": "",
}
MADE = """async ([text, display]) => {
    const { mathml } = await import('./chat.js'), made = mathml(text, display);
    for (const one of made.querySelectorAll('*')) for (const name of one.getAttributeNames()) one.removeAttribute(name);
    return made.firstChild.firstChild.innerHTML;
}"""


@pytest.mark.parametrize("tex", TEX)
def test_tex(tex, page):
    found = page.evaluate(MADE, [tex, False])
    assert found in (TEX[tex], f"<mrow>{TEX[tex]}</mrow>")


def test_limits_stand_over_and_under_where_there_is_room(page):
    assert page.evaluate(MADE, [r"\sum_{i=1}^n i", True]).startswith("<mrow><munderover><mo>∑</mo>")
    assert page.evaluate(MADE, [r"\lim_{x \to 0} x", True]).startswith("<mrow><munder><mo>lim</mo>")
    assert page.evaluate(MADE, [r"\int_0^1 x", True]).startswith("<mrow><msubsup><mo>∫</mo>")


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("a $x$ b", 0), (r"a \(x\) b", 0), ("$$x$$", 1), (r"\[x\]", 1), ("a $$x$$ b", 1),
        ("$$\nx\n$$", 1), (r"a \[ x \] b", 1),
        ("\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}", 1), ("- $$x$$", 1), ("| a |\n|---|\n| $x$ |", 0),
        ("text:\n$$\nx\n$$\nmore", 1),
    ],
)  # fmt: skip
def test_math_is_found(text, display, page):
    found = """async text => { const made = (await import('./chat.js')).markdown(text);
        return [...made.querySelectorAll('math')].map(one => one.getAttribute('class')); }"""
    assert page.evaluate(found, text) == [("display" if display else None)]


def test_the_source_of_math_can_be_had(page):
    source = page.evaluate(
        "async () => (await import('./chat.js')).mathml('a_1').querySelector('annotation').textContent"
    )
    assert source == "a_1"


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
     "data:text/html,<script>alert(1)</script>",
     "vbscript:x", "file:///etc/passwd", "blob:x", "//evil.example", "/local", "#x",
     "ftp://x.org", "https:", "about:blank"],
)  # fmt: skip
def test_only_web_and_mail_addresses_are_followed(address, page):
    assert page.evaluate("async text => (await import('./chat.js')).safeAddress(text)", address) is None
    links = "async text => (await import('./chat.js')).markdown(text).querySelectorAll('a').length"
    assert page.evaluate(links, f"[a]({address}) [b](<{address}>) <{address}> ![c]({address})") == 0


def test_links_open_elsewhere_and_tell_nothing(page):
    found = page.evaluate("""async () => { const a = (await import('./chat.js')).markdown('https://x.org').querySelector('a');
        return [a.target, a.rel]; }""")
    assert found == ["_blank", "noopener noreferrer"]


PIECES = st.lists(
    st.sampled_from(
        ["a", "word ", "\n", "\n\n", "  ", "    ", "- ", "1. ", "2. ", "> ", "# ", "```", "```py\n", "~~~\n", "*",
         "**", "_", "~~",
         "`", "$", "$$",
         r"\(", r"\)", r"\[", r"\]", "|", "\n|--|--|\n", "---\n", "[", "](https://x.org)", "![", "<", ">", "&amp;",
         "\\", "\t",
         "https://x.org", "x^2",
         r"\frac", "{", "}", r"\begin{align}", r"\end{align}", "\\\\", "[x] ", "===\n", "\r", "é", "😀", "\u2028"]
    ),
    max_size=60,
)  # fmt: skip
STREAMED = """async pieces => {
    const { Stream, markdown } = await import('./chat.js'), stream = new Stream();
    for (const piece of pieces) { stream.add(piece); stream.draw(); }
    return [stream.element.innerHTML, markdown(stream.text).innerHTML];
}"""


WRITTEN = {
    **{name: text for name, (text, _) in CASES.items()},
    "a formula over lines that look like a list": "so\n$$\na\n- b\n+ c\n$$\nand on\n\nlast",
    "a formula that never ends": "$$\na\n- b\n- c\n\nlast",
    "an environment": "\\begin{align}\n- a &= b \\\\\n# c\n\\end{align}\n\nlast",
    "a divider that becomes words": "x\na|b\n-|-\n\ny\na|b\n-|c\nlast",
    "numbers one by one": "1. a\n\n2. b\n\n10. c\n\nlast",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_letter_by_letter_ends_as_the_whole(name, page):
    streamed, whole = page.evaluate(STREAMED, list(WRITTEN[name]))
    assert streamed == whole


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES)
def test_a_stream_ends_as_the_whole_and_nothing_but_known_elements_is_made(page, pieces):
    streamed, whole = page.evaluate(STREAMED, pieces)
    assert streamed == whole


KNOWN = """async text => {
    const { markdown } = await import('./chat.js'), made = markdown(text);
    const tags = new Set(`p br em strong del code pre figure figcaption span button a h3 h4 h5 h6 hr blockquote ul ol li
        input div table thead tbody tr th td`.split(/\\s+/));
    const odd = [...made.querySelectorAll('*')].filter(one =>
        !tags.has(one.localName) && one.namespaceURI !== 'http://www.w3.org/1998/Math/MathML');
    const handlers = [...made.querySelectorAll('*')].flatMap(one => one.getAttributeNames())
        .filter(name => name.startsWith('on') || name === 'style' || name === 'src');
    return [odd.length, handlers.length];
}"""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200) | PIECES.map("".join))
def test_any_text_makes_known_elements_alone(page, text):
    assert page.evaluate(KNOWN, text) == [0, 0]


TOKENS = (
    r"\frac \sqrt [ ] { } ^ _ & \\ \left \right ( ) . \begin{matrix} \end{matrix} \begin{array}{lr} \end{array} \text "
    r"\hat \sum \int x 1 ' \not \mathbf \mathbb \operatorname * \middle | \big \color \tag \limits \alpha % ~ # \sin"
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from([*TOKENS.split(" "), "\\"]), max_size=60))
def test_any_tex_makes_math_that_is_well_formed(page, pieces):
    faults = """async text => { const made = (await import('./chat.js')).mathml(text, true);
        const wants = {mfrac: 2, msup: 2, msub: 2, mover: 2, munder: 2, mroot: 2, msubsup: 3, munderover: 3};
        return [...made.querySelectorAll('*')]
            .filter(one => one.localName in wants && one.children.length !== wants[one.localName])
            .map(one => one.outerHTML); }"""
    assert page.evaluate(faults, " ".join(pieces)) == []


N = 100_000
HOSTILE = {
    "stars": "*" * N,
    "stars around": "*" * (N // 2) + "a" + "*" * (N // 2),
    "emphasis opened": "*a " * (N // 3),
    "emphasis mixed": "*a_ **b__ ~~" * (N // 12),
    "nested emphasis": "*a **b " * (N // 4) + " b** a*" * (N // 4),
    "underscores": "_a" * (N // 2),
    "brackets": "[" * N,
    "brackets closed": "[" * (N // 2) + "]" * (N // 2),
    "links opened": "[a](" * (N // 4),
    "links of angles": "[a](<b" * (N // 6),
    "images": "![" * (N // 2) + "](" * 100,
    "ticks": "`" * N,
    "ticks of growing length": " ".join("`" * n for n in range(1, 440)),
    "ticks and text": "`a" * (N // 2),
    "dollars": "$a " * (N // 3),
    "dollar signs": "$" * N,
    "math opened": "\\(" * (N // 2),
    "math opened, closed at the end": "\\(" * (N // 2) + "\\)",
    "math blocks opened": "\\[\n" * (N // 3),
    "math lines": "$$ a\n" * (N // 5),
    "angles": "<" * N,
    "entities": "&#" * (N // 2),
    "addresses": "http" * (N // 4),
    "addresses that end badly": "https://" * (N // 8),
    "an address of brackets": "https://x" + ")" * N,
    "quotes": ">" * N,
    "lines of quotes": "> " * 500 + "\n" + (">" * 400 + "\n") * 200,
    "lists": "- " * (N // 2),
    "lists ever deeper": "\n".join("  " * n + "- a" for n in range(400)),
    "list of numbers": "1. " * (N // 3),
    "lines of lists": "- a\n" * (N // 4),
    "fences": "```\n" * (N // 4),
    "fence that stays open": "```\n" + "a b c\n" * (N // 6),
    "headings": "#" * N,
    "spaces": "#" + " " * N + "a",
    "spaces before a break": (" " * 1000 + "\n") * 100,
    "spaces inside": "a" + " " * N + "\nb",
    "rules": "-" * N + "\n" + "- " * 1000 + "a",
    "pipes": "|" * (N // 2) + "\n" + "|-" * (N // 4),
    "wide table": "|" + "a|" * 1000 + "\n|" + "-|" * 1000 + "\n" + "|b|\n" * (N // 6),
    "tall table": "|a|b|\n|-|-|\n" + "|1|2|\n" * (N // 8),
    "table heads": "a|b\n" * (N // 4),
    "strings in code": "```js\n" + '"\\' * (N // 5) + "\n'" * 1000 + "\n```",
    "comments in code": "```c\n" + "/*" * (N // 6) + "\n```",
    "escapes": "\\" * N,
    "tex groups": "$$" + "{" * 4000 + "$$",
    "tex fractions": "$$" + "\\frac" * 900 + "$$",
    "tex scripts": "$" + "x^" * 400 + "$",
    "tex tables": "$$" + "\\begin{matrix}" * 300 + "$$",
    "tex brackets": "$$" + "\\left(" * 700 + "$$",
    "text of a thousand marks": "a" + "\u0301" * N,
    "both directions": "\u202e" * 1000 + "abc",
    "no spaces": "a" * N,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_a_moment(name, page):
    """The bar is far above what a machine at rest needs (tens of milliseconds): what grows with the square fails it."""
    took = page.evaluate(
        """async text => { const { markdown } = await import('./chat.js'), began = performance.now();
        const made = markdown(text), took = performance.now() - began;
        let deep = 0;
        for (let k = 0, node = made; node && k < 5000; k++) { deep++; node = node.firstElementChild; }
        return [took, deep]; }""",
        HOSTILE[name],
    )
    assert took[0] < 2500
    assert took[1] < 200


def test_random_bytes_stream_in_little_time(page):
    rng = random.Random(7)
    marks = "*_`~[]()<>$\\|#-+.!&\n\n  abc123"
    text = "".join(rng.choice(marks) for _ in range(60_000))
    began = time.monotonic()
    streamed, whole = page.evaluate(STREAMED, [text[at : at + 400] for at in range(0, len(text), 400)])
    assert (streamed == whole) is True
    assert time.monotonic() - began < 20


def test_code_is_coloured_by_language_and_never_changed(page):
    kinds = """async ([text, language]) => { const { markdown } = await import('./chat.js');
        const code = markdown('```' + language + '\\n' + text + '\\n```').querySelector('code');
        const spans = [...code.querySelectorAll('span')];
        return [code.textContent === text, spans.map(one => [one.className, one.textContent])]; }"""
    assert page.evaluate(kinds, ["if x: # no\n  y = 'a#b' + 0x1f", "python"]) == [
        True, [["keyword", "if"], ["comment", "# no"], ["string", "'a#b'"], ["number", "0x1f"]],
    ]  # fmt: skip
    assert page.evaluate(kinds, ["return a // b\n/* c */", "js"])[1] == [
        ["keyword", "return"],
        ["comment", "// b"],
        ["comment", "/* c */"],
    ]
    assert page.evaluate(kinds, ["SELECT 1 -- why", "sql"])[1] == [
        ["keyword", "SELECT"],
        ["number", "1"],
        ["comment", "-- why"],
    ]
    assert page.evaluate(kinds, ["for all", "text"]) == [True, []]
