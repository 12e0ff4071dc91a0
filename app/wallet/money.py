"""Amounts: integers of the currency's minor unit inside, decimal text outside. Exponents are ISO 4217's.

A code that the list does not have is refused where it is read. Source: ISO 4217, list one (current currencies).
"""

from decimal import Decimal, InvalidOperation
from typing import Final

_WHOLE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"
_TEN_THOUSANDTHS: Final = "CLF UYW"
_HUNDREDTHS: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
    COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR
    IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD
    NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP
    SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_EXPONENTS: Final = {
    code: places
    for places, codes in ((0, _WHOLE), (2, _HUNDREDTHS), (3, _THOUSANDTHS), (4, _TEN_THOUSANDTHS))
    for code in codes.split()
}
_MOST: Final = 10**15  # minor units; a larger amount is a mistake in every currency


class BadAmount(ValueError):
    """The text is no amount of this currency; the message names the rule, never the value."""


def exponent_of(currency: str) -> int:
    """Decimal places of the currency's minor unit. Raises BadAmount for a code that is not in ISO 4217."""
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise BadAmount("the currency is not an ISO 4217 code") from None


def to_minor(amount: Decimal, currency: str) -> int:
    """An exact number of minor units. Raises BadAmount for more decimal places than the currency has; never rounds."""
    places = exponent_of(currency)
    try:
        scaled = amount.scaleb(places)
    except InvalidOperation:
        raise BadAmount("the amount is no number") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise BadAmount(f"the amount has more than the {places} decimal places of its currency")
    minor = int(scaled)
    if abs(minor) > _MOST:
        raise BadAmount("the amount is too large")
    return minor


def to_decimal(minor: int, currency: str) -> Decimal:
    """With exactly as many decimal places as the currency has: ``1.50``, ``150``, ``1.500``."""
    return Decimal(minor).scaleb(-exponent_of(currency))
