"""Sentences that a product is compared on when no data is given: written for affectrt, CC0.

They cover what tends to break a port rather than what people mostly say: emoji, accents, scripts
without spaces, numbers, markup, very short and very long texts, pairs.
"""

# ruff: noqa: RUF001  (letters that look like others are the point)

from __future__ import annotations

TEXTS: tuple[str, ...] = (
    # everyday feelings
    "I can't stop smiling, they said yes!",
    "Well, that is the third time this week the train never came.",
    "I miss her more than I thought I would.",
    "Don't you dare speak to my daughter like that again.",
    "Honestly? I have no idea what he meant by it.",
    "Thank you for sitting with me last night, it meant a lot.",
    "There was something moving behind the curtain and I froze.",
    "The milk had turned weeks ago; the smell made me gag.",
    "Oh wow, I did not expect to see you here!",
    "I should have called him back. Now it is too late.",
    "It's fine. Really. Whatever you prefer.",
    "We close at nine on weekdays and at six on Sundays.",
    "She finally got the job, and I could burst with pride.",
    "Could you explain the second step once more, please?",
    "My hands are shaking and the exam has not even begun.",
    "What a relief, the tests came back clear.",
    "He laughed until the tea came out of his nose.",
    "You promised. You looked at me and you promised.",
    "I'd love to see the northern lights before I am forty.",
    "That was a cheap trick and everybody in the room knew it.",
    "Nobody asked me, as usual.",
    "I'm sorry, I broke your grandmother's cup.",
    "Things will look better in the morning, they always do.",
    "So you are telling me the flight was cancelled an hour ago?",
    "I don't hate it, but I would not pay for it again.",
    "Not bad at all, actually quite the opposite.",
    "Great, another meeting. Just what I needed.",
    "The funeral is on Thursday; bring the children if you like.",
    "He has been so patient with me, I hardly know how to thank him.",
    "I blushed so hard that my ears were glowing.",
    # very short
    "no",
    "Yes!",
    "why",
    "?",
    "...",
    "ok",
    "A",
    "hm.",
    "7",
    "!!!",
    # emoji, marks, the web
    "best day ever 😂😂😂",
    "😭",
    "we won 🏆🔥 can't believe it 🙌🏽",
    "👩‍👩‍👧‍👦 reunited at last ❤️",
    "okay :-) or maybe :'( who knows ;)",
    "<3 <3 <3",
    "@sam see https://example.org/path?q=1&lang=en #mondays",
    "RT: this aged like milk lol",
    "sooooo tiiiired of thissss",
    "WHY IS EVERYONE SHOUTING TODAY",
    "i dont even care anymore tbh",
    '"Fine," she said — and slammed the door…',
    "<b>bold</b> claims &amp; <i>italic</i> doubts",
    "C'est la vie, n'est-ce pas?",
    "50% off?! That's $12.99 instead of £25,50 (VAT incl.)",
    "It was 3:47 a.m. on 2021-02-29, a day that does not exist.",
    "f(x) = x^2 + 1 never touches zero, and neither do I",
    "tab\tand\nnew line, then  two  spaces ",
    "snake_case, kebab-case and CamelCase walk into a bar",
    "Mr. O'Neill-Smith's son isn't who'd we've thought he'd be.",
    # other languages and scripts
    "Ich freue mich riesig auf das Wochenende!",
    "Das hätte ich dir gleich sagen können, so ein Ärger über die Straße.",
    "Je n'en peux plus, ça suffit maintenant.",
    "Quel bonheur de te revoir après tant d'années !",
    "No puedo creer que se haya ido sin despedirse.",
    "¡Qué alegría, mañana llegan los niños!",
    "Estou com tanta saudade de casa.",
    "Che schifo, non ci torno mai più.",
    "Jag är rädd för att flyga, men jag åker ändå.",
    "Nie wierzę, że to naprawdę koniec.",
    "Çok teşekkür ederim, beni çok mutlu ettin.",
    "Mình nhớ nhà quá, không ngủ được.",
    "Я так боялась, что ты не придёшь.",
    "Дякую, що ти поруч.",
    "Δεν το περίμενα αυτό από εσένα.",
    "أنا سعيد جدا لأنك هنا",
    "אני כועס על כל העולם היום",
    "मुझे आज बहुत अकेलापन महसूस हो रहा है।",
    "আমি খুব খুশি হয়েছি।",
    "நான் மிகவும் பயந்துவிட்டேன்",
    "ฉันคิดถึงบ้านมากเลย",
    "今日は本当に楽しかった、ありがとう!",
    "明日の試験がとても不安です。",
    "我真的很失望,你为什么不早说?",
    "太好了!我们终于赢了",
    "너무 화가 나서 말이 안 나온다",
    "보고 싶었어 ㅠㅠ",
    "Nimefurahi sana kukuona tena.",
    "Ina jin tsoro sosai yau.",
    # hard for normalisers
    "cafe\u0301 and caf\u00e9 are the same word",
    "ﬁne ﬂowers, ½ price, №5, ｆｕｌｌ ｗｉｄｔｈ",
    "zero\u200bwidth and soft\u00adhyphen",
    "a\u0300\u0301\u0302 stacked marks",
    "𝓈𝒸𝓇𝒾𝓅𝓉 and 𝕕𝕠𝕦𝕓𝕝𝕖",
    "the [MASK] and the <s> are just words here",
    "non\u00a0breaking\u00a0spaces\u2003and an em space",
    "straße STRASSE ẞ İstanbul ıI",
    # longer
    "When I was a child my grandfather used to wake me before sunrise, and we would walk down to "
    "the harbour with a flask of sweet tea to watch the boats come in. I can still smell the "
    "diesel and the salt. He died in the spring, and last week I went back, alone, and the harbour "
    "had become a row of restaurants. I sat on the wall and cried for a while, and then a "
    "fisherman, a real one, handed me a cup of tea without saying a word.",
    "I am writing to complain, for the fourth time, about the noise from the flat above. It starts "
    "at eleven, it ends at three, it includes furniture, and I have to get up at five. I have "
    "asked nicely, I have asked firmly, I have asked in writing. Nobody has ever answered. If this "
    "letter goes unanswered as well, I will see you in court, and I will be wide awake.",
    " ".join(
        f"On day {day} of the crossing the sea was {mood}, and we {deed}."
        for day, (mood, deed) in enumerate(
            [
                ("calm", "sang until dark"),
                ("grey and heavy", "said little"),
                ("furious", "prayed, even those who never had"),
                ("strangely warm", "argued about the water"),
                ("full of light", "forgave each other"),
            ]
            * 16,
            start=1,
        )
    ),
)

PAIRS: tuple[tuple[str, str], ...] = (
    ("I lost my job today.", "I'm so sorry, that must be really hard."),
    ("I lost my job today.", "Cool. What's for dinner?"),
    ("We are getting married!", "Congratulations to you both! 🎉"),
    ("My dog is ill again.", "Did you try switching it off and on?"),
    ("Why are you so quiet?", "no reason"),
    ("He shouted at me in front of everyone.", "Because of the report, or something else?"),
    ("a", "b"),
    ("今日は疲れた", "ゆっくり休んでね"),
    ("Estoy muy nervioso por la entrevista.", "Todo va a salir bien, ya verás."),
    (TEXTS[-2], "I hope that you get some sleep soon."),
    ("I hope that you get some sleep soon.", TEXTS[-3]),
    (TEXTS[-1], TEXTS[-1]),
)

# Compared as tokens only: there is nothing to answer.
TOKENS_ONLY: tuple[str, ...] = ("", " ", "\n\t ", "\u200b", "\x00", "\ufffd")

# Asked of texts by models that answer questions.
QUESTIONS = (
    "What happened?",
    "How does the speaker feel?",
    "Who is it about, and why?",
    "warum",
    "¿Qué causó esto? 😢",
)
