"""The material for names and texts of samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from faker import Faker

_LOCALES = {"en_US": 1200, "de_DE": 200, "fr_FR": 200, "es_ES": 200, "pl_PL": 100, "ja_JP": 100}


@dataclass(frozen=True)
class Words:
    first_names: Sequence[str]
    last_names: Sequence[str]
    companies: Sequence[str]
    sentences: Sequence[str]
    jobs: Sequence[str]

    def name(self, chance: random.Random) -> str:
        return f"{chance.choice(self.first_names)} {chance.choice(self.last_names)}"


@lru_cache(maxsize=1)
def all_words() -> Words:
    first_names: list[str] = []
    last_names: list[str] = []
    for locale, count in _LOCALES.items():
        faker = Faker(locale)
        faker.seed_instance(1)
        first_names += [faker.first_name() for _ in range(count)]
        last_names += [faker.last_name() for _ in range(count)]
    faker = Faker("en_US")
    faker.seed_instance(1)
    return Words(
        first_names,
        last_names,
        [faker.company() for _ in range(1000)],
        [faker.sentence() for _ in range(1000)],
        [faker.job() for _ in range(100)],
    )
