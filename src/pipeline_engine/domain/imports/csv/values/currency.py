"""How currencies are written beside an amount."""

from __future__ import annotations

import re

_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
    HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD
    MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR
    RMB RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD
    TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL
"""
CODES = _CODES.split()
WORDS = (
    *("Kč", "Kc", "zł", "zl", "kr", "kr.", "Ft", "lei", "лв", "лв.", "руб", "руб.", "р.", "грн", "дин.", "din.", "TL"),
    *("Kr", "Kr.", "Fr.", "SFr.", "Rs", "Rs.", "RM", "Rp", "円", "元", "원", "euro", "euros", "dollar", "dollars"),
    *("eur", "usd", "gbp", "chf", "Eur", "Euro", "Euros"),  # codes in small letters are English words: cup, pen, try
)
SIGNS = "$¢£¤¥֏؋৳฿៛₠-⃀﷼"
LETTERS = ("US", "A", "AU", "C", "CA", "NZ", "HK", "S", "NT", "R", "MX", "AR", "CLP", "COL", "Mex", "CN", "RMB", "JP")
"""What may stand before a sign, beside the codes: `US$`, `R$`, `CN¥`."""


def _pattern() -> str:
    words = sorted((*CODES, *WORDS), key=len, reverse=True)
    prefixes = "|".join(sorted((*LETTERS, *CODES), key=len, reverse=True))
    return f"(?:{prefixes})?[{SIGNS}]|{'|'.join(map(re.escape, words))}"


CURRENCY = _pattern()
"""An alternation for use in a larger expression."""
