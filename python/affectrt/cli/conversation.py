"""The conversation of `affectrt demo`, written for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    speaker: str
    text: str


TITLE = "Maya has news, Tom has an operation to sit through"

CONVERSATION = (
    Turn("Maya", "Guess who rang this morning? I got the job! I'm so happy I could cry."),
    Turn("Tom", "No way, that's brilliant! I'm really proud of you, you worked so hard for this."),
    Turn(
        "Maya", "Thank you so much. Honestly, I'd never have applied if you hadn't believed in me."
    ),
    Turn("Tom", "So when do you start? And what exactly will you be doing there?"),
    Turn("Maya", "That's the part I'm nervous about. They want me in Leeds on Monday."),
    Turn("Tom", "Monday? You promised you'd be with me for Mum's operation. I can't believe this."),
    Turn(
        "Maya", "I know, and I feel awful about it. I'm so sorry, I should have told you at once."
    ),
    Turn("Tom", "It's always the same! I'm the last to hear about anything, and I'm sick of it."),
    Turn("Maya", "I was scared you'd be angry, so I kept putting it off. I hate that I hurt you."),
    Turn("Tom", "I'm not even angry any more. I'm just sad, and I'm afraid of losing her."),
    Turn(
        "Maya",
        "Then I'm staying. I'll ask them for Wednesday and we'll go in together, I love you.",
    ),
    Turn("Tom", "Really? Oh, what a relief. Thank you, that means everything to me."),
)
