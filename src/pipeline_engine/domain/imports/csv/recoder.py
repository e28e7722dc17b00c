"""Turns a file of any encoding into UTF-8, in which alone records are cut and cells are read."""

from __future__ import annotations

import codecs

UTF_8 = "utf-8"
WIDER = {"euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "big5": "cp950"}
"""Encodings that hold another one and more: files that are said to be in the other often need it."""


class Recoder:
    """Recodes one stream, block by block. UTF-8 passes as it is.

    Bytes that are not text in the encoding become lone surrogates, three bytes that are not valid UTF-8: so their row
    is found, and `raw_length` knows what they were.
    """

    def __init__(self, encoding: str) -> None:
        name = codecs.lookup(encoding).name.removesuffix("-sig")
        self._encoding = WIDER.get(name, name)
        self._passes = self._encoding == UTF_8
        self._wide = self._encoding.startswith(("utf-16", "utf-32"))
        self._errors = "surrogatepass" if self._wide else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(self._encoding)(self._errors)
        self._waits = False
        """Whether the last block ended within a character."""

    def feed(self, block: bytes) -> bytes:
        """Return the text of the block in UTF-8; a character that goes on in the next block comes with that one."""
        if self._passes or (not self._wide and not self._waits and block.isascii()):
            return block
        text = self._decoder.decode(block)
        self._waits = bool(self._decoder.getstate()[0])
        return text.encode(UTF_8, "surrogatepass")

    def close(self) -> bytes:
        """Return what the last block has left over: bytes that are no whole character."""
        rest = b"" if self._passes else self._decoder.getstate()[0]
        return rest.decode("ascii", "surrogateescape").encode(UTF_8, "surrogatepass") if rest else b""

    def raw_length(self, text: bytes) -> int:
        """Return how many bytes of the file became `text`, whole characters that `feed` has returned."""
        if self._passes or (not self._wide and text.isascii()):
            return len(text)
        return len(text.decode(UTF_8, "surrogatepass").encode(self._encoding, self._errors))


def recoded(raw: bytes, encoding: str) -> bytes:
    """Return the whole of `raw` in UTF-8."""
    recoder = Recoder(encoding)
    return recoder.feed(raw) + recoder.close()
