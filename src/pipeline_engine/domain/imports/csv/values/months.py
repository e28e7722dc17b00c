"""Names of months and their abbreviations in the languages of the files that people import."""

from __future__ import annotations

# One line per month: English, German, French, Spanish, Italian, Portuguese, Dutch, Czech, Polish, Swedish, Danish,
# Norwegian, Finnish, Hungarian, Turkish, Russian; in the case in which dates use them.
NAMES = (
    "january jan januar jänner janvier janv enero ene gennaio gen janeiro januari ledna leden stycznia sty "
    "tammikuuta január ocak oca января янв",
    "february feb februar février fevrier févr fév febrero febbraio fevereiro fev februari února únor lutego lut "
    "helmikuuta február şubat şub февраля фев",
    "march mar märz maerz mär mrz mars marzo março marco maart mrt března březen marca marzec maaliskuuta március "
    "márc mart марта мар",
    "april apr avril avr abril abr aprile dubna duben kwietnia kwi huhtikuuta április ápr nisan nis апреля апр",
    "may mai mayo maggio mag maio mei května květen maja maj toukokuuta május máj mayıs мая май",
    "june jun juni juin junio giugno giu junho června červen czerwca cze kesäkuuta június jún haziran haz июня июн",
    "july jul juli juillet juil julio luglio lug julho července červenec lipca lip heinäkuuta július júl temmuz "
    "tem июля июл",
    "august aug août aout agosto ago augustus augusti srpna srpen sierpnia sie elokuuta augusztus ağustos ağu "
    "августа авг",
    "september sep sept septembre septiembre settembre set setembro září zář września wrz syyskuuta szeptember "
    "szept eylül eyl сентября сен",
    "october oct oktober okt octobre octubre ottobre ott outubro out října říjen października paź lokakuuta "
    "október ekim eki октября окт",
    "november nov novembre noviembre novembro listopadu listopad listopada lis marraskuuta kasım kas ноября ноя",
    "december dec dezember dez décembre déc decembre diciembre dic dicembre dezembro prosince prosinec grudnia "
    "gru desember des joulukuuta aralık ara декабря дек",
)
MONTHS = {name: month for month, names in enumerate(NAMES, 1) for name in names.split()}
"""{name, case-folded: 1 to 12}."""
