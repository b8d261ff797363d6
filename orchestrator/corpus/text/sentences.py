"""Text → sentences, by the rules of a language: what the cutting into samples keeps whole.

`Divider` is called once a document by `prepare`. Rules are those of the sentencex library, on a
window of text at a time: on long lines it gets slow (quadratic where no spaces are) and one stray
quotation mark hides the ends of all sentences after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sentencex  # type: ignore[import-untyped]

from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Sentences

_WINDOW = 1024  # characters
_LONGEST = 8 * _WINDOW  # a sentence; what is longer is a list or no prose, and ends at a space
# At a space of several bytes the library may cut a character in half, and dies.
_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
# ISO 639-1, then longer codes for which the library knows the nearest language with rules. It takes
# any other, "jp" and "deu" too, for English without a word.
_CODES = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia
    id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo
    lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl
    ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk
    tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    aae abs ace acm ady aeb aln als alt ami anp apc arn arq ary arz ast atj avk awa azb ban bar bbc
    bcc bci bdr bew bgn bjn blk bpy bqi btm bug bxr cdo cpx crh csb dsb dtp dty dua egl eml ext fit
    fon frc frp frr fur gag gan gcf gcr gld glk gom gor gsw guc hak hif hke hrx hsb hsn hyw iba inh
    jut kaa kab kbd kbp kea kge khw kiu kjh kjp koi krc krl ksh ksw kum lad lbe lez lij liv ljp lki
    lld lmo lrc ltg lua luz lzh lzz mad mag mai mdf mhr min mnw mrj mui mwl myv mzn nah nan nap nds
    nia nrm nyo olo pcd pdc pdt pfl pms pnt pwn qug rgn rmy rsk rue rup ruq rut sah scn sdc sdh ses
    sgs shi shy sjd skr sli sma smn srn sro stq sty szl szy tay tcy tet trv ttj tyv udm vec vep vls
    vmf vmw vot vro wls wuu xal xmf yue zea
"""
_LANGUAGES = frozenset(_CODES.split())


class Divider:
    def __init__(self, language: str, sentences: Sentences) -> None:
        if language not in _LANGUAGES:
            raise RequestError(
                f"corpus.language={language} is no language whose sentences are known.",
                hint="Try its ISO 639-1 code (ja, not jp or jpn), or en: its rules fit most "
                "languages that end sentences with . ! ?",
            )
        self._language = language
        self._sentences = sentences

    def divide(self, text: str) -> list[str]:
        """Nothing but the space around sentences is left out; a line's end is one's end too."""
        found = []
        for line in text.split("\n"):
            pieces = [line] if self._sentences is Sentences.LINES else self._divide_line(line)
            found += [sentence for piece in pieces if (sentence := piece.strip())]
        return found

    def _divide_line(self, line: str) -> Iterator[str]:
        """The last sentence of a window may go on behind it, so the next one begins there."""
        plain = line if line.isascii() else _WIDE_SPACE.sub(" ", line)
        begin, size = 0, _WINDOW
        while begin + size < len(line):
            window = plain[begin : begin + size]
            lengths = self._lengths(window)[:-1]
            if not lengths and size < _LONGEST:
                size *= 2
                continue
            for length in lengths or [window.rfind(" ") + 1 or size]:
                yield line[begin : begin + length]
                begin += length
            size = _WINDOW
        for length in self._lengths(plain[begin:]):
            yield line[begin : begin + length]
            begin += length

    def _lengths(self, window: str) -> list[int]:
        """Of sentences; the window is one where the library fails, since no text may be lost."""
        try:
            lengths = [len(sentence) for sentence in sentencex.segment(self._language, window)]
        except BaseException as err:
            if isinstance(err, Exception | KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            return [len(window)]  # a panic in Rust, which is none of these
        return lengths if sum(lengths) == len(window) else [len(window)]
