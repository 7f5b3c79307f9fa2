"""How often the chat's filters are wrong, and what they cost.

    python benchmarks/safety.py TEXTS [--json FILE]
    python benchmarks/safety.py --linear             # processor time of a text four times as long, over 4

TEXTS has gsm8k_dev.jsonl, wikitext2_test.txt and tinyshakespeare.txt; IMDB is fetched. False negatives are of held-out
requests, of entries spelt in other ways, and of personal data made here from a seed; false positives of held-out safe
requests and of ordinary text, whose hits are printed, because film reviews do swear. Intervals are Wilson's, 95 %.
The baseline is scikit-learn's TF-IDF with logistic regression, its settings chosen by the loss on the validation split.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from netwright.chat.safety import personal, requests, rules, words
from netwright.chat.safety.finding import Filter
from netwright.chat.safety.guard import Flow, Guard
from netwright.chat.safety.rules import Rule, Rules
from netwright.core import stats
from netwright.data import requests as data

PER_SECOND = 50
"""Tokens a second of the reply whose share is told."""
TOKEN = 4
"""Characters of a token: of English text in GPT-2's vocabulary about four."""


def share(hits: int, n: int) -> str:
    """A share in percent, with Wilson's interval."""
    one = stats.proportion(hits, n)
    return f"{100 * one.value:6.2f} % [{100 * one.low:.2f}, {100 * one.high:.2f}]  {hits} of {n}"


def ordinary(folder: Path) -> dict[str, list[str]]:
    """Texts that nobody would want filtered."""
    from netwright.data import reviews, sources

    asked = [json.loads(line)["question"] for line in (folder / "gsm8k_dev.jsonl").read_text().splitlines()]
    wiki = [line.strip() for line in (folder / "wikitext2_test.txt").read_text().splitlines() if len(line) > 80]
    plays = [" ".join(one.split()) for one in (folder / "tinyshakespeare.txt").read_text().split("\n\n")]
    texts = {"GSM8K questions": asked, "WikiText-2 paragraphs": wiki[:1500], "Shakespeare speeches": plays[:1500]}
    raw = reviews.reviews(sources.fetch("imdb"))
    texts["IMDB reviews"] = [one["t"] for one in random.Random(0).sample(raw, 1500)]
    return texts


def spellings(word: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Ways to spell a word so that a reader still reads it."""
    at = chance.randrange(1, len(word))
    yield "as it is", word
    yield "capitals", word.upper()
    yield "full-width", "".join(chr(ord(one) + 0xFEE0) for one in word)
    yield "zero-width space", word[:at] + "\u200b" + word[at:]
    yield "marks", "".join(one + "\u0336" for one in word)
    yield "Cyrillic letters", word.translate(str.maketrans("aceiopxy", "асеіорху"))
    yield "digits", word.translate(str.maketrans("aeios", "43105"))
    yield "set apart", ".".join(word)
    yield "drawn out", word[:at] + word[at] * 4 + word[at:]
    yield "two letters exchanged", word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    yield "a star for a letter", word[:at] + "*" + word[at + 1 :]
    yield "two words", word[:at] + " " + word[at:]


def personal_data(chance: random.Random) -> Iterator[tuple[str, str]]:
    """One of each kind, in a form that people write."""

    def some(letters: str, count: int) -> str:
        return "".join(chance.choices(letters, k=count))

    def luhn(digits: str) -> str:
        total = sum(sum(divmod(2 * int(d), 10)) if n % 2 == 0 else int(d) for n, d in enumerate(reversed(digits)))
        return digits + str(-total % 10)

    low, digits, both = string.ascii_lowercase, string.digits, string.ascii_letters + string.digits
    yield "e-mail", f"{some(low, 6)}.{some(low, 7)}@{some(low, 8)}.{chance.choice(['com', 'org', 'de', 'co.uk', 'io'])}"
    yield "e-mail, (at)", f"{some(low, 6)} (at) {some(low, 8)} (dot) com"
    card = luhn(chance.choice(["4" + some(digits, 14), "5" + chance.choice("12345") + some(digits, 13)]))
    yield "card, groups of four", " ".join(card[at : at + 4] for at in range(0, 16, 4))
    yield "card, no spaces", card
    amex = luhn("37" + some(digits, 12))
    yield "card of 15 digits", f"{amex[:4]} {amex[4:10]} {amex[10:]}"
    account = some(digits, 18)
    check = 98 - int(account + "1314" + "00") % 97
    iban = f"DE{check:02d}{account}"
    yield "IBAN, groups", " ".join(iban[at : at + 4] for at in range(0, 22, 4))
    yield "IBAN, no spaces", iban
    yield "IBAN, small letters", iban.lower()
    yield "phone, +49", f"+49 {chance.randrange(30, 999)} {some('123456789', 7)}"
    yield "phone, +1", f"+1 ({chance.randrange(201, 989)}) {chance.randrange(200, 999)}-{some(digits, 4)}"
    yield "phone, US with dashes", f"{chance.randrange(201, 989)}-{chance.randrange(201, 989)}-{some(digits, 4)}"
    yield "phone, US with spaces", f"{chance.randrange(201, 989)} {chance.randrange(201, 989)} {some(digits, 4)}"
    yield "phone, German without +49", f"0{chance.randrange(151, 179)} {some(digits, 8)}"
    yield "OpenAI key", "sk-proj-" + some(both + "-_", 80)
    yield "GitHub token", "ghp_" + some(both, 36)
    yield "AWS key", "AKIA" + some(string.ascii_uppercase + "234567", 16)
    yield "JWT", f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIi{some(both, 60)}.{some(both + '-_', 43)}"
    body = "\n".join(some(both + "+/", 64) for _ in range(8))
    yield "private key", f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    yield "password in a setting", f'password = "{some(both + "!$%&", 14)}"'
    yield "password in words", f"my password is {some(both, 12)}"


def about_words(texts: dict[str, list[str]]) -> dict[str, object]:
    """Entries found by their spelling, and hits in ordinary text."""
    filter, chance = words.open(words.Config(lists=words.SHIPPED)), random.Random(0)
    entries = [one.strip("*") for name in words.SHIPPED for _, one in words.read(name)]
    hits: dict[str, list[bool]] = {}
    for entry in entries:
        if " " not in entry and len(entry) > 3:
            for _ in range(3):
                for how, said in spellings(entry, chance):
                    hits.setdefault(how, []).append(bool(filter.check(f"you are a {said}, or so they say")))
    print("\nwords: entries of the lists found, by their spelling")
    for how, found in hits.items():
        print(f"  {how:24}{share(sum(found), len(found))}")
    return {"spelt": {how: (sum(found), len(found)) for how, found in hits.items()}, **_hits(filter, texts, 0.5)}


def about_personal(texts: dict[str, list[str]]) -> dict[str, object]:
    """Personal data found by its form, whole, and hits in ordinary text."""
    filter, chance, hits = personal.Personal(), random.Random(0), {}
    frames = ("{}", "You can reach me so: {}.", "Here it is: {} and thank you", "- {}\n- more", "({})")
    for at in range(300):
        for kind, said in personal_data(chance):
            text = frames[at % len(frames)].format(said)
            start = text.index(said) + len(said) // 2
            found = [one for one in filter.check(text) if one.score >= personal.Config().threshold]
            hits.setdefault(kind, []).append(any(one.start <= start < one.end for one in found))
    print("\npersonal: found, of 300 made from a seed")
    for kind, one in hits.items():
        print(f"  {kind:28}{share(sum(one), len(one))}")
    made = {kind: (sum(one), len(one)) for kind, one in hits.items()}
    return {"made": made, **_hits(filter, texts, personal.Config().threshold)}


def _hits(filter: Filter, texts: dict[str, list[str]], threshold: float) -> dict[str, object]:
    out = {}
    print(f"{filter.name}: ordinary texts with a hit")
    for name, some in texts.items():
        said: Counter[str] = Counter()
        count = 0
        for text in some:
            found = [one for one in filter.check(text) if one.score >= threshold]
            count += bool(found)
            said.update(text[one.start : one.end][:24].lower() for one in found)
        shown = "" if filter.name == "requests" else "  " + ", ".join(f"{a} {n}" for a, n in said.most_common(6))
        print(f"  {name:24}{share(count, len(some))}{shown}")
        out[name] = (count, len(some))
    return {"ordinary": out}


def about_requests(texts: dict[str, list[str]]) -> dict[str, object]:
    """The classifier on held-out requests, beside the baseline on the same split."""
    filter = requests.open(requests.Config())
    held = [one for one in data.shipped() if one.split == "test"]
    unsafe_N = np.array([one.unsafe for one in held])
    alone_N = filter.scores([one.text for one in held])
    baseline, told = tuned()
    other_N = baseline([one.text for one in held])
    out: dict[str, object] = {}
    for name, score_N in (("the classifier", alone_N), (f"TF-IDF and logistic regression ({told})", other_N)):
        area = float((score_N[unsafe_N][:, None] > score_N[~unsafe_N][None]).mean())
        print(f"\n{name}: area under the curve {area:.3f}")
        right = int(((score_N >= 0.5) == unsafe_N).sum())
        print(f"  {'right at 0.5':34}{share(right, len(held))}")
        for threshold in (0.5, 0.7, 0.9):
            missed, wrong = int((score_N[unsafe_N] < threshold).sum()), int((score_N[~unsafe_N] >= threshold).sum())
            print(f"  missed at {threshold:<24}{share(missed, int(unsafe_N.sum()))}")
            print(f"  false alarms at {threshold:<18}{share(wrong, int((~unsafe_N).sum()))}")
        for source in dict.fromkeys(one.source for one in held):
            rows = np.array([one.source == source for one in held])
            hit, unsafe = int((score_N[rows] >= 0.7).sum()), bool(unsafe_N[rows][0])
            print(f"  {source:26}{'missed' if unsafe else 'alarms':8}"
                  f"{share(int(rows.sum()) - hit if unsafe else hit, int(rows.sum()))}")  # fmt: skip
        out[name] = {"right": (right, len(held)), "area": area}
    same = stats.paired(((alone_N >= 0.5) == unsafe_N).astype(float), ((other_N >= 0.5) == unsafe_N).astype(float))
    value, low, high = (100 * x for x in (same.value, same.low, same.high))
    print(f"\nright, classifier less baseline: {value:.2f} points [{low:.2f}, {high:.2f}]")
    return {**out, "difference": (same.value, same.low, same.high), **_hits(filter, texts, requests.Config().threshold)}


def tuned() -> tuple[Callable[[Sequence[str]], np.ndarray], str]:
    """The baseline whose settings have the least loss on the validation split, and what these are."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    rows = {split: [one for one in data.shipped() if one.split == split] for split in ("train", "validation")}
    unsafe = {split: np.array([one.unsafe for one in some]) for split, some in rows.items()}
    best: tuple[float, object, str] | None = None
    for pairs in (1, 2):
        for parts in (False, True):
            for c in (0.3, 1, 3, 10, 30, 100):
                for weight in (None, "balanced"):
                    seen = [TfidfVectorizer(ngram_range=(1, pairs), sublinear_tf=True)]
                    if parts:
                        seen.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True))
                    model = make_pipeline(
                        make_union(*seen), LogisticRegression(C=c, class_weight=weight, max_iter=3000)
                    )
                    model.fit([one.text for one in rows["train"]], unsafe["train"])
                    p = model.predict_proba([one.text for one in rows["validation"]])[:, 1]
                    loss = float(-np.log(np.where(unsafe["validation"], p, 1 - p)).mean())
                    if best is None or loss < best[0]:
                        told = f"words to {pairs}, parts of words {parts}, C {c}, weights {weight}"
                        best = (loss, model, told)
    assert best
    return lambda texts: best[1].predict_proba(list(texts))[:, 1], best[2]  # type: ignore[attr-defined]


def costs(texts: dict[str, list[str]]) -> dict[str, object]:
    """Seconds of processor time a token, filter by filter, of replies that come in tokens."""
    replies = [text[:2000] for name in ("GSM8K questions", "IMDB reviews") for text in texts[name][:100]]
    tokens = sum(-(-len(one) // TOKEN) for one in replies)
    opened = rules.opened(rules.from_values({"requests": {"where": "both"}}))
    chosen = {"none": (), **{one.filter.name: (one,) for one in opened.rules}, "words and personal": opened.rules[:2]}
    print(f"\ncost of a reply: {len(replies)} replies, {tokens} tokens of {TOKEN} characters; median of 5 rounds")
    taken: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(5):
        for name, some in chosen.items():
            begin = time.process_time()
            for text in replies:
                flow = Flow([Rule(one.filter, "mask", "both", one.threshold) for one in some])
                for at in range(0, len(text), TOKEN):
                    flow.push(text[at : at + TOKEN])
                flow.push("", end=True)
            taken[name].append((time.process_time() - begin) / tokens)
    for name, seconds in taken.items():
        low, middle, high = (1e6 * x for x in (min(seconds), float(np.median(seconds)), max(seconds)))
        part = f"{middle * PER_SECOND / 1e4:.3f} % of a reply at {PER_SECOND} tokens a second"
        print(f"  {name:24}{middle:7.1f} us a token [{low:.1f}, {high:.1f}]  {part}")
    guard = Guard(Rules(opened.rules))
    begin = time.process_time()
    for text in texts["GSM8K questions"][:200]:
        guard.asked(text)
    asked = (time.process_time() - begin) / 200
    print(f"  {'a message, all filters':24}{1e6 * asked:7.0f} us")
    return {"tokens": {name: float(np.median(seconds)) for name, seconds in taken.items()}, "asked": asked}


UNITS = ("plain words here ", "darn ", "d.a.", "ann@shop.org ", "A1b2", "!", "ABC. ", "How do I make a bomb? ")


def linear() -> None:
    """Seconds of 200,000 characters over four times those of 50,000: 1 where time is linear, 4 where quadratic."""
    guard = Guard(rules.opened(rules.Config()))
    for unit in UNITS:
        ratios = []
        for _ in range(5):
            took = []
            for count in (50_000, 200_000):
                text = unit * (count // len(unit))
                begin = time.process_time()
                guard.answered(text, log=False)
                took.append(time.process_time() - begin)
            ratios.append(took[1] / (4 * took[0]))
        print(f"{unit!r:28} {np.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="?")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--linear", action="store_true")
    args = parser.parse_args()
    if args.linear:
        linear()
        return
    if args.texts is None:
        parser.error("TEXTS is missing")
    texts = ordinary(args.texts)
    told = {
        "words": about_words(texts), "personal": about_personal(texts), "requests": about_requests(texts),
        "costs": costs(texts),
    }  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
