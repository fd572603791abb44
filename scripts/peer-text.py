"""Compares ops/text.c with CocoIndex's own splitters: byte, character, line and column of every chunk.

Run by scripts/peer-text, in a Python that has cocoindex:  peer-text.py LIBRARY [FOLDER ...]
LIBRARY is scripts/peer-text.c with the splitters. Documents are what text files the folders hold, with variants (other
line ends, source code with a part missing), and made ones. With --bench it measures instead; with --golden, FILE and
FOLDER it writes the positions that the tests keep."""
import ctypes
import gzip
import os
import random
import sys
import time

os.environ["COCOINDEX_DISABLE_USAGE_TRACKING"] = "1"
from cocoindex.ops import text as theirs  # noqa: E402

ONE = ctypes.POINTER(ctypes.c_char_p)


class Opts(ctypes.Structure):
    _fields_ = [("chunk_size", ctypes.c_size_t), ("min_chunk_size", ctypes.c_size_t),
                ("chunk_overlap", ctypes.c_size_t), ("language", ctypes.c_char_p), ("separators", ONE),
                ("keep", ctypes.c_int), ("include_empty", ctypes.c_int), ("keep_space", ctypes.c_int)]


class Chunks(ctypes.Structure):
    _fields_ = [("v", ctypes.POINTER(ctypes.c_uint64)), ("n", ctypes.c_size_t), ("room", ctypes.c_size_t)]


# chunk size, minimum (None: half), overlap
SETTINGS = [(1000, None, 0), (1000, None, 200), (300, None, 0), (512, 100, 64), (2000, None, 500), (80, 20, 10),
            (200, 0, 0), (64, 64, 64)]
GOLDEN = [(300, None, 0), (120, None, 40), (80, 20, 10), (200, 0, 0)]
# The separator splitter: expressions, keep, include_empty, trim
SEPARATORS = [([r"\n\n+"], None, False, True), ([r"\n"], "left", True, False),
              ([r"^#+ ", r"\n---\n"], "right", False, True),
              ([r"[.;]\s+", "。"], "left", False, True), ([r"\s*"], None, True, False), ([r"\b\w"], "right", True, True),
              ([r"$"], None, True, False), ([r"(?i)the|a*"], "left", True, True)]
# Levels of a custom language
CUSTOM = [[r"\n#+ ", r"\n", r"\s+"], [r"x*", r"\n\n"], [r"^.", r"$", r"\b"], [r"[,;]\s?"], []]
ENDINGS = (".txt .md .rst .html .h .c .py .pl .pm .sh .js .ts .css .json .xml .yaml .yml .toml .java .go .rs .cc .cpp "
            ".hpp .tcl .lua .rb .el .cmake .m4 .awk .vim .tex .sql .po .mjs .d.ts .in .am .conf .gz .svg .csv").split()


class Peer:
    """The two sides, and what they were found to differ in."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.lib.peer_detect.restype = ctypes.c_char_p
        self.lib.peer_time.restype = ctypes.c_double
        self.room = 1 << 20
        self.space = (ctypes.c_uint64 * (8 * self.room))()
        self.documents = self.compared = self.chunks = self.bytes = 0
        self.differ = []

    def ours(self, call, data, opts):
        out = Chunks(self.space, 0, self.room)
        rc = call(data, ctypes.c_size_t(len(data)), ctypes.byref(opts), ctypes.byref(out))
        return [tuple(self.space[8 * i:8 * i + 8]) for i in range(out.n)] if rc == 0 else rc

    def check(self, name, what, data, mine, original):
        other = [(c.start_byte, c.start_char_offset, c.start_line, c.start_column, c.end_byte, c.end_char_offset,
                  c.end_line, c.end_column) for c in original]
        self.compared += 1
        self.chunks += len(other)
        self.bytes += len(data)
        if mine == other:
            return
        at = next((i for i in range(min(len(other), len(mine))) if mine[i] != other[i]), None) \
            if isinstance(mine, list) else None
        self.differ.append((name, what, at))
        if len(self.differ) <= 20:
            print(f"differ: {name} {what}: {len(other)} chunks, ours {mine if at is None else mine[at]}, "
                  f"theirs {other[at] if at is not None else ''}", flush=True)


def array(strings):
    return (ctypes.c_char_p * (len(strings) + 1))(*[s.encode() for s in strings], None)


def split_both(peer, name, text, data, setting, language=None, levels=None):
    size, least, overlap = setting
    none = ctypes.c_size_t(-1).value
    opts = Opts(size, none if least == 0 else least or 0, overlap, (language or "").encode() or None,
                ctypes.cast(array(levels), ONE) if levels is not None else None)
    config = [theirs.CustomLanguageConfig("custom", levels)] if levels is not None else None
    splitter = theirs.RecursiveSplitter(custom_languages=config)
    peer.check(name, f"{setting} {language or ''} {levels or ''}", data, peer.ours(peer.lib.peer_split, data, opts),
               splitter._splitter.split(text, size, least, overlap, language))


def separate_both(peer, name, text, data, setting):
    separators, keep, empty, trim = setting
    opts = Opts(0, 0, 0, None, ctypes.cast(array(separators), ONE), {None: 0, "left": 1, "right": 2}[keep], empty,
                not trim)
    splitter = theirs.SeparatorSplitter(separators, keep_separator=keep, include_empty=empty, trim=trim)
    peer.check(name, f"separators {setting}", data, peer.ours(peer.lib.peer_split_by, data, opts),
               splitter._splitter.split(text))


def compare(peer, name, text, languages):
    data = text.encode()
    peer.documents += 1
    for setting in SETTINGS:
        split_both(peer, name, text, data, setting)
    if len(data) > 200000:
        return
    language = theirs.detect_code_language(filename=name)
    if language in languages:
        for setting in SETTINGS[:6]:
            split_both(peer, name, text, data, setting, language)
    if peer.documents % 5 == 0:
        for levels in CUSTOM:
            split_both(peer, name, text, data, SETTINGS[peer.documents // 5 % len(SETTINGS)], "custom", levels)
        for setting in SEPARATORS:
            separate_both(peer, name, text, data, setting)


def read(path):
    """The text of a file; None for what isn't text, is empty or is long."""
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
            data = f.read(300001)
    except (OSError, EOFError):
        return None
    if not data or b"\0" in data or len(data) > 300000:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        # the original takes no invalid text: here it is as a reader would have replaced it
        return data.decode(errors="replace")


def is_east_asian(text):
    return sum("\u3000" <= c <= "\u9fff" for c in text[:4000]) > 200


def documents(folders, most):
    """Files of the folders, the languages in turn, in an order that is mixed but the same in every run."""
    kinds = {}
    for folder in folders:
        for base, dirs, names in os.walk(folder):
            dirs[:] = sorted(d for d in dirs if d != ".git")
            for name in sorted(names):
                if not (name.endswith(tuple(ENDINGS)) or name.isupper() or base.startswith("/usr/share/doc")):
                    continue
                path = os.path.join(base, name)
                kind = "ja" if "/ja/" in path or ".ja" in name else "zh" if "/zh" in path or ".zh" in name else \
                    theirs.detect_code_language(filename=name) or "text"
                kinds.setdefault(kind, []).append(path)
    r = random.Random(1)
    for kind in sorted(kinds):
        r.shuffle(kinds[kind])
    given = 0
    while kinds and given < most:
        for kind in sorted(kinds):
            path = kinds[kind].pop()
            text = read(path)
            if not kinds[kind]:
                del kinds[kind]
            if text and given < most:
                given += 1
                yield path, text


def made():
    """Documents that no machine has lying about."""
    r = random.Random(2)
    plain = "a be the word. end! is? one; two: three - four— five, 六七。八！九？十；和：一，二— x\u3000y"
    words = [w * r.randint(1, 4) for w in plain.split()]
    yield "one 10 MB line", " ".join(r.choice(words) for _ in range(1700000))
    yield "10 MB without a separator", "x" * 10_000_000
    yield "characters of four bytes", "\U0001f600" * 100000
    spaces = [" ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\v",
              "  \n  ", "", ". "]
    for i in range(300):
        yield f"mixture {i}", "".join(r.choice(words) + r.choice(spaces) for _ in range(r.randint(0, 600)))
    for i in range(60):
        unit = "".join(r.choice(["aaaa", "b", " ", "\n", ".", "。"]) for _ in range(r.randint(1, 9)))
        yield f"period {i}", unit * (r.randint(1, 4000) if i % 5 else 30000)
    for text in ("", " \n\t ", "\n", "x", "\ufeffx\n", "  x  ", "\n\n  a\n  b\n\n\n", "a\u3000", "—— x —", ". . ."):
        yield repr(text), text


def languages_of(library):
    """Those with the same grammars on both sides; none where the library was built without."""
    found = {"c", "python", "rust", "javascript", "markdown"}
    return found if hasattr(ctypes.CDLL(library), "tree_sitter_c") else set()


def names(peer):
    """Every answer of the original is ours too."""
    n = 0
    with open(os.path.join(os.path.dirname(__file__), "..", "ops", "languages.h")) as f:
        known = set(f.read().replace('"', " ").split())
    for word in sorted(known):
        for name in ("x" + word, word, "a.b" + word, word.upper(), "x" + word.upper()):
            answer, mine = theirs.detect_code_language(filename=name), peer.lib.peer_detect(name.encode())
            n += answer is not None
            if answer is not None and answer != (mine or b"").decode():
                peer.differ.append((name, "language", None))
                print(f"differ: language of {name}: ours {mine}, theirs {answer}")
    print(f"{n} names of files detected alike")


def bench(peer, folders):
    text, size = [], 0
    for _, t in documents(folders, 100000):
        text.append(t)
        size += len(t.encode())
        if size > 30_000_000:
            break
    texts = {"ordinary text": "\n".join(text), "no separator": "x" * 10_000_000,
             "one line": dict(made())["one 10 MB line"]}
    for name, t in texts.items():
        data = t.encode()
        for overlap in (0, 200):
            opts = Opts(1000, 0, overlap, None)
            mine = min(peer.lib.peer_time(data, ctypes.c_size_t(len(data)), ctypes.byref(opts)) for _ in range(5))
            best = 1e9
            for _ in range(3):
                start = time.thread_time()
                theirs.RecursiveSplitter()._splitter.split(t, 1000, None, overlap, None)
                best = min(best, time.thread_time() - start)
            print(f"{name}, {len(data) / 1e6:.1f} MB, overlap {overlap}: ours {len(data) / 1e6 / mine:.0f} MB/s, "
                  f"CocoIndex {len(data) / 1e6 / best:.0f} MB/s", flush=True)


def golden(path, folder):
    """Writes what the tests compare with: NAME CRLF SIZE MINIMUM OVERLAP LANGUAGE COUNT, then eight numbers a chunk."""
    lines = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".golden"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text = f.read()
        language = theirs.detect_code_language(filename=name)
        runs = [(0, "-")] * (not name.startswith("shelf")) + [(1, "-")] * (name == "guide.md") + \
            [(0, language)] * (language is not None)
        for crlf, lang in runs:
            t = text.replace("\n", "\r\n") if crlf else text
            for size, least, overlap in GOLDEN:
                splitter = theirs.RecursiveSplitter()._splitter
                chunks = splitter.split(t, size, least, overlap, None if lang == "-" else lang)
                numbers = [str(n) for c in chunks for n in (
                    c.start_byte, c.start_char_offset, c.start_line, c.start_column, c.end_byte, c.end_char_offset,
                    c.end_line, c.end_column)]
                least = 0 if least is None else least or -1
                lines.append(" ".join([f"{name} {crlf} {size} {least} {overlap} {lang} {len(chunks)}"] + numbers))
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    flags = [a for a in sys.argv[1:] if a.startswith("--")]
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    peer, folders = Peer(args[0]), args[1:]
    if "--bench" in flags:
        return bench(peer, folders)
    if "--golden" in flags:
        return golden(*folders)
    languages = languages_of(args[0])
    wide = real = 0
    per_language = {}
    for path, text in documents(folders, int(os.environ.get("DOCUMENTS", "1500"))):
        real += 1
        wide += is_east_asian(text)
        language = theirs.detect_code_language(filename=path) or "other"
        per_language[language] = per_language.get(language, 0) + 1
        compare(peer, path, text, languages)
        if real % 10 == 0:
            compare(peer, path + " with \\r\\n", text.replace("\n", "\r\n"), languages)
        if language in languages and real % 3 == 0:
            # without its middle: the tree has nodes for errors
            cut = len(text) // 2
            broken = text[:cut - 30] + text[cut:] + text[:cut // 3]
            split_both(peer, path + " broken", broken, broken.encode(), SETTINGS[real % 6], language)
    for name, text in made():
        compare(peer, name, text, ())
    names(peer)
    print(f"{real} real documents ({wide} Chinese or Japanese), {peer.documents} in all, {len(SETTINGS)} settings; "
          f"{peer.compared} comparisons, {peer.chunks} chunks, {peer.bytes / 1e6:.0f} MB")
    print("languages:", ", ".join(f"{k} {v}" for k, v in sorted(per_language.items(), key=lambda x: -x[1])))
    print("syntax trees compared:", ", ".join(sorted(languages)) or "none (scripts/fetch-grammars)")
    print(f"{len(peer.differ)} differ")
    return 1 if peer.differ else 0


if __name__ == "__main__":
    sys.exit(main())
