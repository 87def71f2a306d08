"""The embedded job: Korean passages and questions written by a seeded generator.

Every passage is about one person, company or hall and states at least two years and two places, so
that the question must be read. The held-out part shares its sentence and question templates with
the training part, and none of its names: each pool (persons, places, companies, halls, schools,
prizes, works, goods, numbers with a unit) is shuffled and cut in two, so no such string that fills
a slot is in both parts as a whole. Both parts share the years, the few jobs, and the syllables and
words that names are composed of, so a short place name may occur inside a longer name of the other
part.
"""

from __future__ import annotations

import random
import re
from itertools import product

from qa.data.examples import Example
from qa.data.quickstart.templates import KINDS, POOLS, Fact, Kind

QUESTIONS_PER_ARTICLE = 4
HELD_OUT_SHARE = 0.2  # of every pool of names
# {slot}, {slot|particle} or {slot!particle}; see `_fill`.
_SLOT = re.compile(r"\{(\w+)(?:([|!])(\w+))?\}")
# Form after a final consonant -> form after a vowel.
_PARTICLES = {"은": "는", "이": "가", "을": "를", "과": "와", "으로": "로"}
_RIEUL = 8  # index of the final consonant ㄹ in a Hangul syllable


def make_quickstart(
    seed: int = 0, num_train_articles: int = 12000, num_heldout_articles: int = 300
) -> tuple[list[Example], list[Example]]:
    """Return the training and the held-out examples of the embedded job.

    One article is one context of 3 or 4 facts, with two years and two places or more among them,
    and gives 4 consecutive examples. The same arguments give the same examples. Raises ValueError
    if a pool has fewer entities than articles are wanted.
    """
    rng = random.Random(seed)
    train_pools: dict[str, list[str]] = {}
    heldout_pools: dict[str, list[str]] = {}
    for kind, patterns in POOLS.items():
        # dict.fromkeys: two patterns can compose the same string, which must fall on one side.
        names = list(dict.fromkeys("".join(parts) for p in patterns for parts in product(*p)))
        names = [name.replace("_", " ") for name in names]
        rng.shuffle(names)
        cut = int(len(names) * HELD_OUT_SHARE)
        heldout_pools[kind], train_pools[kind] = names[:cut], names[cut:]
    # There are too few jobs to hold any out.
    train_pools["job"] += heldout_pools["job"]
    heldout_pools["job"] = train_pools["job"]
    train = _make_part(rng, train_pools, "train", num_train_articles)
    return train, _make_part(rng, heldout_pools, "heldout", num_heldout_articles)


def _make_part(
    rng: random.Random, pools: dict[str, list[str]], part: str, num_articles: int
) -> list[Example]:
    """Return the examples of one part, each article about another entity of its pools."""
    kinds = [KINDS[i % len(KINDS)] for i in range(num_articles)]
    entities = {}
    for entity in ("person", "company", "hall"):
        wanted = sum(kind.entity == entity for kind in kinds)
        if wanted > len(pools[entity]):
            raise ValueError(f"{part}: {wanted} articles wanted, {len(pools[entity])} {entity}s")
        entities[entity] = rng.sample(pools[entity], wanted)
    examples = []
    for number, kind in enumerate(kinds):
        name = entities[kind.entity].pop()
        examples += _make_article(rng, pools, kind, name, f"quickstart-{part}-{number:05d}")
    return examples


def _make_article(
    rng: random.Random, pools: dict[str, list[str]], kind: Kind, name: str, article_id: str
) -> list[Example]:
    """Return the examples of one article, which is about the entity `name`."""
    facts = _choose_facts(rng, kind)
    values = _draw_values(rng, pools, facts, name)
    rng.shuffle(facts)
    aside = rng.choice(kind.asides)
    aside_after = rng.randrange(8)  # mostly past the last sentence, so that there is no aside
    context = ""
    starts: dict[str, int] = {}
    for number, fact in enumerate(facts):
        context += " " if number else ""
        # The first sentence names the entity; a later one may.
        use_name = number == 0 or rng.random() < 0.2
        templates = [s for s in fact.sentences if number or s.startswith("{그")]
        values["그는"] = attach(name, "은") + " " if use_name else rng.choice(kind.topics)
        values["그의"] = name + "의 " if use_name else rng.choice(kind.owners)
        sentence, slots = _fill(rng.choice(templates), values)
        starts |= {slot: len(context) + start for slot, start in slots.items()}
        context += sentence
        if number == aside_after:
            context += " " + aside
    questions = {slot: choices for fact in facts for slot, choices in fact.questions.items()}
    return [
        Example(
            id=f"{article_id}-{number}",
            question=_fill(rng.choice(questions[slot]), values)[0],
            context=context,
            answers=(values[slot],),
            answer_starts=(starts[slot],),
            title=name,
        )
        for number, slot in enumerate(rng.sample(list(questions), QUESTIONS_PER_ARTICLE))
    ]


def _choose_facts(rng: random.Random, kind: Kind) -> list[Fact]:
    """Draw facts, in order of their years, until they hold two years and two places."""
    while True:
        chosen = sorted(rng.sample(range(len(kind.facts)), rng.choice((3, 4))))
        facts = [kind.facts[i] for i in chosen]
        slots = [slot for fact in facts for slot in fact.questions]
        num_years = sum(slot.startswith("year_") for slot in slots)
        num_places = sum(slot.startswith("place_") for slot in slots)
        if num_years >= 2 and num_places >= 2:
            return facts


def _draw_values(
    rng: random.Random, pools: dict[str, list[str]], facts: list[Fact], name: str
) -> dict[str, str]:
    """Return a value for every slot of the facts; no two values are the same string."""
    values = {"name": name}
    year = rng.randrange(1860, 1940)
    for fact in facts:
        for slot in fact.questions:
            if slot.startswith("year_"):
                values[slot] = f"{year}년"
                # Nobody publishes or marries as a child.
                year += rng.randrange(1, 13) + (18 if slot == "year_birth" else 0)
                continue
            pool = pools[slot.split("_")[0]]
            value = rng.choice(pool)
            while value in values.values():
                value = rng.choice(pool)
            values[slot] = value
    return values


def attach(word: str, particle: str) -> str:
    """Return the word with the particle in the form that fits the word's last syllable.

    `particle` is the form after a consonant: 은, 이, 을, 과 or 으로; any other raises KeyError.
    A word that does not end in a Hangul syllable is treated as if it ended in a vowel.
    """
    return word + _particle(word, particle)


def _particle(word: str, particle: str) -> str:
    """Return the form of `particle` that fits the last syllable of `word`."""
    after_vowel = _PARTICLES[particle]
    final = (ord(word[-1]) - ord("가")) % 28 if "가" <= word[-1] <= "힣" else 0
    if final == 0 or (particle == "으로" and final == _RIEUL):
        return after_vowel
    return particle


def _fill(template: str, values: dict[str, str]) -> tuple[str, dict[str, int]]:
    """Return the template with its slots filled, and the character at which each value begins."""
    text = ""
    starts: dict[str, int] = {}
    last = 0
    for match in _SLOT.finditer(template):
        slot, mark, particle = match.groups()
        text += template[last : match.start()]
        last = match.end()
        if mark != "!":  # "!": only the particle, where a bracket stands between it and the word
            starts[slot] = len(text)
            text += values[slot]
        if particle:
            text += _particle(values[slot], particle)
    return text + template[last:], starts
