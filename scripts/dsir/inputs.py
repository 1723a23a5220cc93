"""Write raw.jsonl and target.jsonl into the folder given: prose in several styles, then everything that can go wrong.

No randomness: sentences come from a fixed linear congruential generator, letters from the Unicode 14.0 of CPython 3.11.
"""
import json
import sys
import unicodedata
from pathlib import Path

SIGMA = "\u03a3"
DOTTED_I = "\u0130"


class Lcg:
    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def pick(self, things):
        return things[self.below(len(things))]


# --- prose: (style, openings, middles, endings)

STYLES = {
    "news": (["The ministry said on Monday that", "Shares of the company fell 3.5% after", "Officials in Geneva confirmed",
              "A spokeswoman declined to say whether"],
             ["the talks would resume", "profits had dropped to $1,204.75 million", "two-thirds of voters backed the bill",
              "the U.S. delegation left early"], [", according to people familiar with the matter.", " in the third quarter.",
                                                  "; it wasn't immediately clear why."]),
    "code": (["def load(path, *, strict=True):", "for (int i = 0; i < n; ++i) {", "let mut total: u64 = 0;", "# TODO(ana):"],
             ["return {k: v for k, v in rows if k != \"id\"}", "x[i] += a[i] * b[i];", "assert_eq!(f(0x1F), -1);",
              "raise ValueError(f\"bad {path!r}\")"], ["\n", "  // see \\docs\\notes.txt\n", "\n\n\t"]),
    "chat": (["lol", "hey @sam_88", "OMG!!!", "so... yeah,", "Idk,"],
             ["u coming 2nite?", "that's sooo funny \U0001f602\U0001f602", "check http://example.org/a_b?c=d&e=%20f",
              "can't talk rn"], [" :-)", " <3", " #mondaymood", "???"]),
    "law": (["Subject to paragraph (2)(b),", "Notwithstanding Article 12,", "For the purposes of this \u00a7 4,"],
            ["the Lessee shall indemnify the Lessor", "any notice must be given in writing",
             "\u201cPremises\u201d means the land and buildings"], [" within thirty (30) days.", " \u2014 save as provided herein.", "."]),
    "german": (["Die Stra\u00dfe", "GRO\u00dfE \u00dcBERRASCHUNG:", "Der \u00c4rger mit der Bahn"],
               ["f\u00fchrt \u00fcber die Br\u00fccke", "kostet 12,50 \u20ac", "w\u00e4chst von Jahr zu Jahr"], [" \u2013 leider.", "!", " (s. o.)."]),
    "greek": (["\u039f \u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3", "\u039f\u0399 \u0391\u0398\u0397\u039d\u0391\u0399\u039f\u0399", "\u0397 \u03a3\u039f\u03a6\u0399\u0391"],
              ["\u03b5\u03c0\u03b9\u03c3\u03c4\u03c1\u03ad\u03c6\u03b5\u03b9 \u03c3\u03c4\u03b7\u03bd \u0399\u0398\u0391\u039a\u0397", "\u0394\u0399\u0391\u0392\u0391\u0396\u0395\u0399 \u03a4\u039f\u03a5\u03a3 \u039d\u039f\u039c\u039f\u03a5\u03a3"], [".", "\u0387", ";"]),
    "russian": (["\u041c\u043e\u0441\u043a\u0432\u0430", "\u0412\u0421\u0415 \u041b\u042e\u0414\u0418", "\u0401\u0436\u0438\u043a"],
                ["\u043d\u0435 \u0441\u0440\u0430\u0437\u0443 \u0441\u0442\u0440\u043e\u0438\u043b\u0430\u0441\u044c", "\u0438\u0434\u0443\u0442 \u0434\u043e\u043c\u043e\u0439"], ["\u2026", "."]),
    "turkish": (["\u0130STANBUL'DA", "I\u015eIK ve \u0131\u015f\u0131k", "D\u0130YARBAKIR"], ["bug\u00fcn hava \u00e7ok g\u00fczel", "\u0130\u0130\u0130 ya\u011fmur ya\u011f\u0131yor"], [".", "!"]),
    "japanese": (["\u6771\u4eac\u306f", "\u30c6\u30ec\u30d3\u3092", "\uff21\uff22\uff23\uff11\uff12"], ["\u4eca\u65e5\u3082\u6674\u308c\u3067\u3059", "\u3000\u898b\u307e\u305b\u3093"], ["\u3002", "\u300d"]),
    "arabic": (["\u0627\u0644\u0633\u0651\u064e\u0644\u0627\u0645\u064f", "\u0641\u064a \u0627\u0644\u0628\u062f\u0621"], ["\u0639\u0644\u064a\u0643\u0645 \u0661\u0662\u0663", "\u0643\u0627\u0646\u062a \u0627\u0644\u0643\u0644\u0645\u0629"], ["\u060c", "\u061f"]),
    "hindi": (["\u0939\u093f\u0928\u094d\u0926\u0940", "\u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f"], ["\u092d\u093e\u0937\u093e \u0967\u0968\u0969", "\u092e\u0947\u0902 \u0932\u093f\u0916\u093e"], ["\u0964", " \u0965"]),
}
SCIENCE = (["We show that", "In this section,", "The enzyme", "It follows from Lemma 3.2 that", "Each sample"],
           ["the reaction rate depends on temperature", "f(x) \u2264 2\u00b7x\u00b2 + O(1/n)", "binds \u03b1-helices at 37 \u00b0C",
            "the posterior variance is bounded", "was measured at 5.2\u00d710\u207b\u00b3 mol"],
           [" (p < 0.05).", ", as in [12].", " with high probability.", " under mild conditions."])


def prose(parts, rng, sentences):
    return " ".join(rng.pick(parts[0]) + " " + rng.pick(parts[1]) + rng.pick(parts[2]) for _ in range(sentences))


# --- adversarial texts

def spread(things, n):
    """At most n of them, evenly spaced, first and last among them."""
    if len(things) <= n:
        return things
    return [things[i * (len(things) - 1) // (n - 1)] for i in range(n)]


def of_category(*categories):
    return [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) in categories]


def scripts():
    """Letters and marks by script, as far as the first words of their names tell it: Python has no script property."""
    two_words = {"OLD", "LINEAR", "NEW", "MATHEMATICAL", "CJK", "SMALL", "MEETEI", "HANIFI", "MASARAM", "GUNJALA"}
    groups = {}
    for c in of_category("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me"):
        words = unicodedata.name(c, "UNNAMED").replace("-", " ").split()
        groups.setdefault(" ".join(words[: 2 if words[0] in two_words else 1]), []).append(c)
    return groups


def script_texts():
    """A word of letters, then letters and marks mixed, of every script; five scripts a document."""
    words = []
    for group in scripts().values():
        letters = [c for c in group if unicodedata.category(c)[0] == "L"]
        marks = [c for c in group if unicodedata.category(c)[0] == "M"]
        cased = [c for c in letters if c.lower() != c]
        word = "".join(spread(letters, 5) + spread(cased, 6))
        words.append(word)
        if marks:
            words.append("".join(a + b for a, b in zip(spread(letters, 3) or ["x"] * 3, spread(marks, 3))))
    return [" ".join(words[i:i + 10]) for i in range(0, len(words), 10)]


def number_texts():
    digits = of_category("Nd")
    words = ["".join(digits[i] for i in (z, z + 4, z + 9)) for z in range(0, len(digits), 10)]
    others = spread(of_category("Nl"), 40) + spread(of_category("No"), 80)
    return [" ".join(words), "".join(others[::2]), "a".join(others[1::2]), "3\u00b2 + 4\u00b2 = 5\u00b2, \u00bd\u00bc \u2167\u2177 x\u2082 \u3007\u5341"]


def sigma_texts():
    """The context of a capital sigma is that of the text before lower-casing, as long as it is ignorable."""
    alone = [SIGMA, SIGMA * 2, SIGMA * 3, "\u0391" + SIGMA, " " + SIGMA, "1" + SIGMA, "\u03911" + SIGMA, "\u02b0" + SIGMA,
             "\u0391\u02b0" + SIGMA, "\u0345" + SIGMA, "\u0391\u0345" + SIGMA, "\u0301" + SIGMA, "\u0391\u0301" + SIGMA,
             DOTTED_I + SIGMA, DOTTED_I + "\u0307" + SIGMA, "\u0131" + SIGMA, "\u2160" + SIGMA, "\u24b6" + SIGMA,
             "\u4e2d" + SIGMA, "_" + SIGMA, "'" + SIGMA, "\u0391'" + SIGMA, "\U0001d400" + SIGMA, "\U00010400" + SIGMA,
             "\u0391\ud800" + SIGMA, "\U0001f3fb" + SIGMA, "\u0391\U0001f3fb" + SIGMA, "\u0391\x00" + SIGMA, "a" + SIGMA]
    after = ["", " ", " \u0391", "\u0391", "\u0301", "\u0301\u0391", "'", "'\u0391", "' \u0391", "\u2019\u0391", "\u00b7\u0391",
             "\u0387\u0391", ":\u0391", ".\u0391", ".", ",\u0391", "-\u0391", "_\u0391", "1\u0391", "\u02b0", "\u02b0\u0391", "\u0345\u0391",
             "\u00ad\u0391", "\u200d\u0391", "\u2060\u0391", "\ufe0f\u0391", "^\u0391", "`\u0391", "\u00a8\u0391", DOTTED_I, "\u0307" + DOTTED_I,
             "\u2170", "\u24d0", "\u4e2d", "\u05d0", "\ud800\u0391", "\udfff", "\x00\u0391", "\x1c\u0391", "\u2028\u0391", "\U0001d41a",
             "\U0001f3fb\u0391", "\U000e0001\u0391", "\U000e0001", "\U0001f600\u0391", "\u0301" * 70 + "\u0391", "." * 40]
    # Inside a text, at its end, and as the whole of it.
    texts = ["\n".join(alone), "\n".join("\u039f\u0394\u039f" + SIGMA + tail for tail in after)]
    texts += ["\u039f\u0394\u039f" + SIGMA + tail for tail in ("", "\u0301", "'", "\u02b0", ".", " \n", "\u0301" * 5, "\ud800")]
    texts += [head for head in alone if head.endswith(SIGMA)][:10]
    texts += [DOTTED_I + SIGMA + DOTTED_I, "a" + DOTTED_I + "\u0307" + SIGMA + "\u0307."]
    return texts


def odd_texts():
    cased = [c for c in of_category("Lu", "Lt", "Nl", "So") if c.lower() != c]
    return [
        "", " ", "\t\r\n \u3000\u2003", "word", "WORD", ".", "_", "__init__ _x_ a_b __", "\u203f\u2040\u2054 a\u203fb",
        "a\x1cb\x1dc\x1ed\x1fe\x0bf\x0cg\x85h\xa0i\u1680j\u2000k\u200al\u2028m\u2029n\u202fo\u205fp\u3000q",
        "a\x00b \x00 \x01\x02 \x7f \x80 \x84 \x86 \x9f a\x7fb", "a\u180eb\u200bc\u200cd\u200de\u2060f\ufeffg\u00adh",
        DOTTED_I, DOTTED_I * 3 + " \u0131I" + DOTTED_I + "i \u0130\u0307", "D\u0130\u011eER \u0131I\u0131 I\u0307 i\u0307",
        "\u01c4\u01c5\u01c6 \u01c7\u01c8\u01c9 \u01ca\u01cb\u01cc \u01f1\u01f2\u01f3 \u1f88\u1f8f\u1fbc\u1ffc \u1e9e\u00df",
        "\u212a\u212b\u2126 \u2c62\u2c64\u023a\u023e \ua7ae\u1c90\u13a0\uab70 \u2160\u24b6",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f4\U000e0067\U000e0062\U000e007f \U0001f1e9\U0001f1ea 1\ufe0f\u20e3 \u2764\ufe0fx",
        "\ufdd0 \ufffe \uffff \U0001fffe \U0010ffff \ufffd x\uffffy", "\u0378 \u0530 \u2fe0 \U0001fffd \U00050000 a\u0378b",
        "\ue000 \uf8ff \U000f0000 \U0010fffd a\ue000b", "e\u0301a\u0300o\u0302 a\u20dd \u0301 x\u0489y",
        "\ud800", "\udfff", "a\ud800b \udc00c \udbff\ud800 x\udfff\udfff!", "\udc00\ud800 \ud83dA \ud83d\U0001f600 \U0001f600\ude00",
        "\U00010000\U0010fffd\U0001d7ce\U00020000\U0003134a\U0001f100 \U0001e900\U0001e922\U000118a0",
        "back\\slash \"quote\" /slash/ \\u0041 \\\\ \\\" </script> \b\f\n\r\t", "x" * 300, "ab " * 40, "." * 120, "a." * 60,
        "".join(spread(cased, 120)), " ".join(spread(cased, 97)), "-".join(spread(of_category("Lm"), 40)),
        "".join(spread(of_category("Mn", "Mc", "Me"), 60)), "x".join(spread(of_category("Pc", "Sk", "Cf", "Po", "Sm"), 70)),
        "mixed \u6f22\u5b57kanji\u30abkana 123abc \u0661a\u0662 \u03b1\u03b2\u03b3ABC \u0416x don't e-mail co\u00f6perate",
    ]


# --- JSON, written as differently as it may be

def string(text, ascii_only, upper_hex=False, slashes=False):
    out = ['"']
    for unit in text:
        if unit in '"\\':
            out.append("\\" + unit)
        elif unit == "/" and slashes:
            out.append("\\/")
        elif unit in "\n\r\t\b\f" and not upper_hex:
            out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}[unit])
        elif ord(unit) < 0x20 or 0xd800 <= ord(unit) < 0xe000 or (ascii_only and ord(unit) > 0x7e):
            units = unit.encode("utf-16-be", "surrogatepass").hex()
            units = units.upper() if upper_hex else units
            out += ("\\u" + units[i:i + 4] for i in range(0, len(units), 4))
        else:
            out.append(unit)
    return "".join(out) + '"'


def line(row, text):
    """The object of row `row`, in one of twelve ways of writing it; every way reads back as the same text."""
    ways = [
        lambda: f'{{"text": {string(text, True)}}}',
        lambda: f'{{"text":{string(text, False)}}}',
        lambda: f'{{"id": {row}, "text": {string(text, False, slashes=True)}}}',
        lambda: f'{{"text": {string(text, True, upper_hex=True)}, "meta": {{"text": "no", "a": [1, {{"b": null}}]}}}}',
        lambda: f'{{"meta": {{"text": "not this", "s": "}}{{\\"text\\":\\"no\\"}}"}}, "text": {string(text, False)}}}',
        lambda: f'{{"text": "the last one wins", "id": "r{row}", "text": {string(text, False)}}}',
        lambda: f'{{"big": 123456789012345678901234567890, "f": -1.5E+400, "text" : {string(text, True)} , "z": []}}',
        lambda: f' \t{{ "text" :\t{string(text, False)} }} \t',
        lambda: f'{{"te\\u0078t": {string(text, False)}, "Text": "no", "text ": "no"}}',
        lambda: f'{{"text": {{"text": "no"}}, "t": true, "text": {string(text, True)}, "e": "\\ud800"}}',
        lambda: f'{{"deep": {"[" * 60}{"]" * 60}, "text": {string(text, False)}, "": "\\u0000\\\\"}}',
        lambda: f'{{"text":{string(text, True, slashes=True)},"k":"\u00e9\u2028"}}\r',
    ]
    written = ways[row % len(ways)]()
    assert json.loads(written)["text"] == text, (row, written)
    return written


def write(path, texts):
    lines = [line(row, text) for row, text in enumerate(texts)]
    assert len(set(lines)) == len(lines), "two rows are the same line"
    path.write_bytes("".join(one + "\n" for one in lines).encode())


def main():
    folder = Path(sys.argv[1])
    rng = Lcg(14)
    raw = [prose(parts, rng, 2 + i % 3) for i in range(6) for parts in STYLES.values()]
    raw += [prose(SCIENCE, rng, 2 + i % 3) for i in range(8)]
    raw += sigma_texts() + odd_texts() + number_texts() + script_texts()
    target = [prose(SCIENCE, rng, 3) for _ in range(22)] + [prose(STYLES["news"], rng, 2) for _ in range(3)]
    target += [prose(STYLES["greek"], rng, 2), "", "\ud800 " + DOTTED_I + SIGMA] + script_texts()[::4]
    write(folder / "raw.jsonl", raw)
    write(folder / "target.jsonl", target)


main()
