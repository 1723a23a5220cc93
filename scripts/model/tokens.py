"""Token ids by Python's tokenizers, as JSON Lines: `tokens.py FOLDER OUT`. The limit is 256, the model's own."""
import json
import random
import sys
from pathlib import Path

from tokenizers import Tokenizer

PROSE = """It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, I thought I would sail about.
"Well!" said the Queen's cousin, who'd been there since 1,984.50 o'clock; they're $3.99 each (or 2 for €7), aren't they?
Die Straße führt über die Brücke nach Übersee; der Größte aß süße Äpfel. ÄÖÜ ẞ ß
L'été dernier, à Noël, où étions-nous ? Ça va bien, mais l'œuvre n'est pas « finie ».
El niño comió piñas y bebió café; ¿qué más? ¡Nada! Mañana será otro día.
Příliš žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń. Đây là tiếng Việt.
Съешь же ещё этих мягких французских булок, да выпей чаю. Ελληνικά: Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.
東京都に住んでいます。今日は天気がいいですね。カタカナとひらがな、漢字。
我能吞下玻璃而不伤身体。繁體中文也可以。数学：1＋1＝2。
나는 유리를 먹을 수 있어요. 그래도 아프지 않아요. 한글
أنا قادر على أكل الزجاج و هذا لا يؤلمني. עברית עם נִקּוּד
मैं काँच खा सकता हूँ और मुझे उससे कोई चोट नहीं पहुंचती. ภาษาไทยไม่มีช่องว่าง ქართული
👍 😀🎉 👨‍👩‍👧‍👦 🇩🇪🇫🇷 ☃️ ❤️‍🔥 a😀b 1️⃣"""
CODE = """def f(x: int) -> int:\n    return x if x < 2 else f(x - 1) + f(x - 2)  # fib
for (int i = 0; i < n; ++i) { a[i] += b[i] * 0x1F; } /* loop */
SELECT COUNT(*) AS n, user_id FROM logs WHERE ts >= '2024-01-01' GROUP BY user_id HAVING n > 10;
<div class="row" data-x='{"a": 1}'>&nbsp;<b>Hello</b></div>
fn main() { let v: Vec<u8> = (0..255).map(|x| x ^ 0xFF).collect(); println!("{v:?}"); }
#include <stdio.h>\nint main(void){printf("%d\\n",1<<31);return 0;}
https://example.org/path/to?q=a%20b&c=d#frag user@example.com C:\\Users\\x ~/.bashrc $HOME ${x:-y}
\\begin{equation} \\int_0^\\infty e^{-x^2} dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation}"""
ODD = ["", " ", "\n", "\t\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufeff", "\0", "a\0b", "\x7f", "\x1b[0m", "\ufffd", "a\u0301", "e\u0301\u0323", "\u0301",
       "[CLS]", "[SEP]", "a [SEP] b", "[sep]", "[MASK][MASK]", "[PAD]", "[UNK] x", "[ SEP ]", "x" * 99, "x" * 100, "x" * 101, "ab" * 400, "a" * 5000, "##ing", "# # ing", "''''", "-----", "_" * 60,
       "İstanbul", "ıI", "ǅ ǆ", "ﬁ ﬂ", "½ ² ³ ①", "Ⅷ", "ſ", "K Å", "ά ΐ", "가", "각", "\U0002f800", "\U00020000\U0002a6df", "\U0001f1e9", "\U000e0001", "\u2028x\u2029", "\u00ad soft\u00adhyphen",
       "1,000,000.00", "3.14159265358979323846", "2^10=1024", "O'Neill's don't", "U.S.A.", "e.g.", "A.B.C", "!?!?!?", "…", "“quoted” ‘q’", "a/b\\c|d", "@#$%^&*()", "\u0600x", "܀", "𝔘𝔫𝔦 𝕔𝕠𝕕𝕖", "\u0085next", "a\u2003b", "\x01\x02 c"]


def texts():
    lines = PROSE.split("\n") + CODE.split("\n") + ODD
    yield from lines
    r = random.Random(5)
    for line in PROSE.split("\n") + CODE.split("\n"):
        for _ in range(5):
            a, b = sorted(r.sample(range(len(line) + 1), 2))
            yield line[a:b]
    yield from (CODE, PROSE, PROSE * 3, CODE * 4, "word " * 253, "word " * 254, "word " * 255, "word " * 300, "東" * 300)
    ranges = [(32, 127), (32, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0x1000), (0x1000, 0x3000), (0x3000, 0xA000), (0xA000, 0xD800), (0xE000, 0x10000), (0x1F300, 0x1FA00), (0x10000, 0x11000)]
    for n in range(110):
        low, high = ranges[n % len(ranges)]
        yield "".join(chr(r.randrange(low, high)) if r.random() < 0.8 else r.choice(" \n\t.a") for _ in range(r.choice([3, 10, 30])))


tokenizer = Tokenizer.from_file(str(Path(sys.argv[1]) / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(256)
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for text in texts():
        encoding = tokenizer.encode(text)
        out.write(json.dumps({"text": text, "ids": encoding.ids, "truncated": bool(encoding.overflowing)}, ensure_ascii=False, separators=(",", ":")) + "\n")
