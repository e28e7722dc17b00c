"""Yes and no in the usual words, and words out of a declared list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from pipeline_engine.domain.imports.csv.values.cell import MAX_TYPED_CHARS, NotAValue, plain, unguarded
from pipeline_engine.domain.imports.csv.values.text import name_key

NOT_A_BOOLEAN, NOT_AN_OPTION = "not_a_boolean", "not_an_option"
TRUE_WORDS = """
    1 true t yes y on x ok checked wahr ja j vrai oui o verdadero sí si s verdadeiro sim vero pravda ano tak prawda
    igen waar sant kyllä evet doğru да истина true так はい 是 真 对 예 네 ✓ ✔ ☑ ✅
"""
TRUE = frozenset(TRUE_WORDS.split())
FALSE_WORDS = """
    0 false f no n off unchecked falsch nein faux non falso não nao nepravda ne nie fałsz nem onwaar nee falskt nej
    nei ei hayır yanlış нет ложь ні いいえ 否 假 不 아니요 ✗ ✘ ☐ ❌
"""
FALSE = frozenset(FALSE_WORDS.split())
MAX_SHOWN_OPTIONS = 5


def read_boolean(cell: str) -> bool:
    """Return what the word says. Raises: NotAValue `not_a_boolean`."""
    word = plain(cell).casefold() if len(cell) <= MAX_TYPED_CHARS else ""
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise NotAValue(NOT_A_BOOLEAN, "is neither yes nor no")


def option_reader(options: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of words out of the list, whatever their case and blanks; it returns them as the list has them.

    The reader raises: NotAValue `not_an_option`.
    """
    exact = {option: option for option in options}
    folded = {_folded(option): option for option in reversed(options)}
    named = ", ".join(options[:MAX_SHOWN_OPTIONS]) + (", …" if len(options) > MAX_SHOWN_OPTIONS else "")

    def read(cell: str) -> str:
        option = exact.get(cell) or folded.get(_folded(unguarded(cell)))
        if option is None:
            raise NotAValue(NOT_AN_OPTION, f"is not in the list of the field: {named}")
        return option

    return lru_cache(maxsize=1024)(read)


def _folded(word: str) -> str:
    return name_key(word[:1024])
