"""The texts of the exports in `exports.py`, with LF for the line end of each."""

from __future__ import annotations

TEXTS = {
    "german spreadsheet": """\
Auswertung Verkaufschancen
Stand: 04.03.2025, erstellt von Jürgen

Bezeichnung;Betrag;Phase;Abschlussdatum;Verantwortlich
Dachsanierung Müller;1.234,50 €;Neu;31.01.2025;Groß, Anna
Gerüst "Nord";12.000,00 €;Angebot;15.02.2025;Öztürk, Can
Straßenbau;980,00 €;Gewonnen;28.02.2025;Groß, Anna
Brücke Süd;-90,00 €;Verloren;02.12.2025;Öztürk, Can
""",
    "german program with totals": '''\
"Firma";"Umsatz netto";"Status";"Ort"
"Groß & Söhne";"12.000,00";"offen";"Köln"
"Bäckerei ""Zum Hörnchen""";"1.500,00";"offen";"Füssen"
"Weiß, Otto";"850,75";"gewonnen";"Kehl"
"Summe";"14.350,75";"";""

"3 Datensätze exportiert am 04.03.2025"
''',
    "french spreadsheet": """\
Affaire;Montant HT;Étape;Contact
Rénovation école;12\u00a0500,00 €;Gagné;Béatrice Noël
Forêt d'été;3\u00a0000,00 €;Qualifié;François Lefèvre
Crêperie « Chez Zoé »;980,5;Nouveau;Aïcha
""",
    "french program": """\
Nom de l'affaire\tMontant\tÉtape\tÉchéance\tNote
Main d'œuvre\t1 200,00 €\tNégociation\t15/03/2025\tà rappeler, très intéressé
Bâche à façon\t75,00 €\tPerdu\t01/12/2025\t
""",
    "czech spreadsheet": """\
Název obchodu;Částka;Fáze;Datum uzavření;Kontakt
Střecha Žižkov;125 000,00 Kč;Nový;31. 1. 2025;Jiří Dvořák
Kuchyň Ústí;89 990,00 Kč;Jednání;15. 2. 2025;Šárka Němcová
Výměna oken Příbram;48 200,50 Kč;Uzavřeno;28. 2. 2025;Zdeněk Kříž
""",
    "japanese spreadsheet": """\
商談名,金額,フェーズ,完了予定日,担当者
株式会社山田 屋根工事,"1,200,000円",新規,2025/04/01,佐藤
"大阪商店
外壁工事","450,000円",提案,2025/06/15,ｽｽﾞｷ
表示ソフト更新,"98,000円",受注,2025/12/24,高橋
""",
    "brazilian program": """\
"Negócio","Valor (R$)","Etapa","Data de fechamento","Observações"
"Reforma São João","R$ 1.234,56","Qualificação","31/01/2025","não ligar à tarde"
"Construção","R$ 12.500,00","Proposta","15/02/2025","ligação; depois e-mail"
"Manutenção; portão","R$ 90,00","Fechado","28/02/2025",""
""",
    "polish spreadsheet": """\
sep=;
Nazwa;Wartość;Etap;Opiekun
Dach Łódź;12 500,00 zł;Nowy;Zażółć
Kuchnia Gdańsk;3 200,00 zł;Oferta;Wiśniewska
Okna Świętochłowice;980,00 zł;Wygrany;Jabłoński
""",
    "russian program": '''\
Название сделки;Сумма;Этап;Ответственный
Ремонт крыши;120 000,00;Новая;Иванов
"Монтаж ""под ключ""";75 000,00;Переговоры;Петрова
Окна, Казань;48 500,50;Успешно;Сидоров
Итого;243 500,50;;
''',
    "chinese program": """\
客户名称,金额,阶段,预计成交日期
上海科技有限公司,"12,000.00",新建,2025年4月1日
北京贸易公司,980.50,成交,2025年12月24日
""",
    "unicode text of a spreadsheet": """\
Oportunidad\tImporte\tFase\tContacto
Año nuevo\t1.500,00 €\tPropuesta\tÍñigo
Camión, alquiler\t300,00 €\tNueva\tPeña
Señalización Málaga\t75,25 €\tGanada\tÁngel
""",
    "american program": '''\
Record ID,Deal Name,Amount,Deal Stage,Close Date,Associated Contact
9001,"Pipe 3"" (large), north","$1,234.50",Appointment Scheduled,2025-01-31 17:45,"Ann Lee (ann@lee.example)"
9002,"Gate ""B""","$12,000.00",Contract Sent,2025-02-28 09:00,"Bob Ray (bob@ray.example)"
9003,Closet,,Closed Won,,
''',
}
