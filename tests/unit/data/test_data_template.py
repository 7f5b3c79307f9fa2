"""Chat templates: equal to transformers' on every published format, and where the replies stand in each."""

import itertools
import struct
from datetime import datetime

import jinja2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from published_templates import TABLE
from transformers.utils.chat_template_utils import render_jinja_template

from netwright.core.error import UserError
from netwright.data import sources
from netwright.data.template import DEFAULT, Template
from netwright.data.text import Message

WORDS = st.text(max_size=30)
TOKENS = ["<|im_end|>", "</s>", "[/INST]", "\n", " ", "{{ x }}", "{% if %}", "Reply0Here"]
PARTS = st.lists(st.one_of(WORDS, st.sampled_from(TOKENS)), min_size=1, max_size=4).map("".join)


@st.composite
def chats(draw, system=True, said=PARTS):
    """A conversation that is well formed, ending with a reply or with a question."""
    turns = draw(st.lists(said, min_size=1, max_size=5))
    messages = [Message("assistant" if n % 2 else "user", one) for n, one in enumerate(turns)]
    return [*([Message("system", draw(said))] if system and draw(st.booleans()) else []), *messages]


def by_transformers(source, messages, special, generate=False, **variables):
    chat = [{"role": one.role, "content": one.content} for one in messages]
    rendered, _ = render_jinja_template(
        [chat], chat_template=source, add_generation_prompt=generate, **special, **variables
    )
    return rendered[0]


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=40)
@given(data=st.data(), generate=st.booleans())
def test_every_rendering_is_that_of_transformers(name, data, generate):
    source, special, _, _, system, _ = TABLE[name]
    messages = data.draw(chats(system))
    assert Template(source, special).render(messages, generate) == by_transformers(source, messages, special, generate)


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=40)
@given(data=st.data())
def test_the_spans_are_the_replies_with_their_end(name, data):
    source, special, end, lead, system, strips = TABLE[name]
    messages = data.draw(chats(system))
    made = Template(source, special)
    text, spans = made.spans(messages)
    assert text == made.render(messages)
    said = [one.content.strip() if strips else one.content for one in messages if one.role == "assistant"]
    assert [text[start:stop] for start, stop in spans] == [lead + one + end for one in said]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def smollm2_template():
    """The field tokenizer.chat_template of the GGUF file, read with just enough of that format."""
    path = next(sources.fetch(sources.find("smollm2-135m-instruct")).glob("*.gguf"))
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with path.open("rb") as file:

        def number(form):
            return struct.unpack("<" + form, file.read(struct.calcsize(form)))[0]

        def text():
            return file.read(number("Q")).decode()

        def value(kind):
            if kind == 8:
                return text()
            if kind == 9:
                inner, count = number("I"), number("Q")
                return [value(inner) for _ in range(count)]
            return file.read(sizes[kind])

        assert file.read(4) == b"GGUF"
        number("I"), number("Q")
        for _ in range(number("Q")):
            key = text()
            found = value(number("I"))
            if key == "tokenizer.chat_template":
                return found
    raise AssertionError("no chat template in the file")


@pytest.fixture(scope="module")
def smollm2():
    if sources.cached(sources.find("smollm2-135m-instruct")) is None:
        pytest.skip("smollm2-135m-instruct is not in the cache: netwright data fetch smollm2-135m-instruct")
    return smollm2_template()


@given(messages=chats(), generate=st.booleans())
def test_smollm2_as_transformers_renders_it(smollm2, messages, generate):
    made = Template(smollm2, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})
    assert made.render(messages, generate) == by_transformers(smollm2, messages, made.special, generate)
    text, spans = made.spans(messages)
    said = [one.content + "<|im_end|>" for one in messages if one.role == "assistant"]
    assert [text[start:stop] for start, stop in spans] == said


CHAT = [Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bye"), Message("assistant", "Hello!")]


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages | tojson }}",
        "{{ messages | tojson(indent=2) }}{{ tools is none }}{{ documents }}",
        "{{ strftime_now('%Y') }}",
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }}\n{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n ~ 'x' }}",
        "{% macro s(m) %}[{{ m.role ~ ': ' ~ m['content'] }}]{% endmacro %}{{ s(messages[1]) }}",
        "  {%- if messages %}  \n  {% endif %}\n {{ dict(a=1, b=[messages[0].content, 2]) }} {{ 3 * 'ab' }}",
        "{{ messages | map(attribute='content') | join(', ') | upper | replace('H', 'hh') | indent(4) }}",
        "{{ '{0}-{1:>5}'.format('a', 7) }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
        "{% generation %}{{ messages[1].content }}{% endgeneration %}{{ undefined_thing }}{{ none }}",
        "{{ (messages | last).content.split('l') }}{{ ' x '.strip() }}{{ 'a,b' | replace(',', '') }}{{ [1, 2] + [3] }}",
        "{% set x %}{{ messages[0].content }}{% endset %}{{ x ~ x }}{% filter upper %}a{{ x }}{% endfilter %}",
        "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ (b, a)[0] }}{% endfor %}{{ 7 // 2 + 2 ** 5 % 3 }}{{ '%s' % 1 }}",
    ],
)  # fmt: skip
def test_what_templates_use_is_as_in_transformers(source):
    year = datetime.now().year
    said = Template(source).render(CHAT)
    assert datetime.now().year != year or said == by_transformers(source, CHAT, {})


def test_variables_of_its_own_reach_a_template():
    source = "{% if enable_thinking %}think{% else %}{{ tools }}{% endif %}{{ eos_token }}"
    made = Template(source, {"eos_token": "E"})
    assert made.render(CHAT, enable_thinking=True) == "thinkE"
    assert made.render(CHAT, tools=[{"name": "x"}]) == "[{'name': 'x'}]E"
    assert made.render(CHAT, eos_token="F") == "NoneF"


THINKING = """\
{%- for m in messages %}
{%- set content = m.content %}
{%- if m.role == 'assistant' and '</think>' in content and not loop.last %}\
{% set content = content.split('</think>')[-1].lstrip() %}{% endif %}
{{- '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endfor %}"""


def test_a_template_that_rewrites_earlier_turns():
    chat = [
        Message("user", "2 + 2?"), Message("assistant", "<think>2 + 2?</think>4"),
        Message("user", "4?"), Message("assistant", "<think>4</think>4"),
    ]  # fmt: skip
    text, spans = Template(THINKING).spans(chat)
    assert [text[a:b] for a, b in spans] == ["4<|im_end|>", "<think>4</think>4<|im_end|>"]
    assert text[: spans[0][0]].endswith("assistant\n")


def test_a_template_without_generation_prompt_takes_no_loss_on_the_name_of_the_speaker():
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}"
    text, spans = Template(source).spans(CHAT)
    assert [text[a:b] for a, b in spans] == ["Hello!</s>", "Hello!</s>"]
    assert spans[0][0] < spans[1][0]


def test_where_white_space_is_all_that_ends_a_turn_it_belongs_to_the_reply():
    text, spans = Template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}").spans(CHAT)
    assert [text[a:b] for a, b in spans] == ["Hello!\n\n", "Hello!\n\n"]


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m.content | length }} {% endfor %}",
        "{% for m in messages %}{{ m.content | reverse }} {% endfor %}",
        "{{ messages | map(attribute='content') | list | unique | join }}",
        "{{ messages | length }}",
    ],
)
def test_where_replies_cannot_be_told_that_is_said(source):
    with pytest.raises(UserError, match="cannot be told"):
        Template(source).spans(CHAT)


def test_a_generation_tag_whose_words_are_changed_after():
    said = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    source = "{% filter upper %}" + said + "{% endfilter %}"
    with pytest.raises(UserError, match="changed after"):
        Template(source).spans(CHAT)


def grow(change):
    return "{% set ns = namespace(x='aa') %}{% for i in range(99) %}" + change + "{% endfor %}{{ ns.x == 3 }}"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for i in range(10**12) %}{% endfor %}", "Range too big"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "steps|seconds"),
        ("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "without end"),
        ("{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}", "steps|seconds"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].update(role='system') }}", "unsafe"),
        ("{% set ns = namespace(__class__=1) %}", "underscore"),
        ("{{ lipsum() }}", "undefined"),
        ("{% include '/etc/passwd' %}", "loader"),
        ("{{ raise_exception('no system message, please') }}", "no system message, please"),
        ("{{ 'a' * 10**9 }}", "characters"),
        ("{{ [messages] * 10**9 }}", "characters"),
        ("{{ 10 ** 100000 }}", "thousand digits"),
        ("{{ '{:1000000000}'.format(1) }}", "width"),
        ("{{ '%1000000000d' % 1 }}", "width"),
        ("{{ '%*d' % (1000000000, 1) }}", "as a size"),
        ("{{ 'a' | center(10**9) }}", "as a size"),
        ("{{ 'a'.ljust(10**9) }}", "as a size"),
        ("{{ 'a\t'.expandtabs(99999) }}", "expandtabs"),
        ("{{ ('a' * 10**6) | replace('a', 'b' * 10**6) }}", "characters"),
        ("{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}", "characters"),
        ("{{ ('a' * 10**6).join('b' * 10**6) }}", "characters"),
        ("{{ range(99999) | map('string') | join('x' * 10**6) }}", "characters"),
        ("{{ range(99999) | map('center', 10**6) | list | length }}", "together"),
        ("{{ ('a\n' * 10**5) | indent(10**5) }}", "characters"),
        ("{{ [['a' * 10**6] * 100] | tojson }}", "characters"),
        (grow("{% set ns.x = ns.x ~ ns.x %}"), "characters"),
        (grow("{% set ns.x = ns.x + ns.x %}"), "characters"),
        (grow("{% set ns.x = [ns.x, ns.x] %}"), "characters"),
        (grow("{% set ns.x = {'a': ns.x, 'b': ns.x} %}"), "characters"),
        (grow("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"), "writes more"),
        ("{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}", "writes more"),
        ("{{ 1 / 0 }}", "division"),
    ],
)
def test_hostile_templates_are_refused_in_a_sentence(source, why):
    made = Template(source)
    with pytest.raises(UserError, match=why) as told:
        made.render(CHAT)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{ " + "(" * 5000 + ")" * 5000 + " }}", "{{ 'x' | nosuch }}", "x" * 600_000]
)
def test_broken_templates_are_refused_before_anything_is_rendered(source):
    with pytest.raises(UserError, match="template"):
        Template(source)


@settings(max_examples=300)
@given(source=st.text(alphabet="{}%# \n'\"+-*|.()[]abmessages0123", max_size=60))
def test_any_text_is_a_template_or_refused(source):
    try:
        said = Template(source).render(CHAT)
    except UserError:
        return
    assume("lipsum" not in source)
    try:
        assert said == by_transformers(source, CHAT, {})
    except jinja2.TemplateError as fault:
        raise AssertionError(f"transformers refuses {source!r}") from fault


def test_default_is_chatml():
    assert Template(DEFAULT).render(CHAT[:1], generate=True) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
