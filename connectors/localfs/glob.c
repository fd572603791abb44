/* glob.c - part of localfs.c: UTF-8, globs and operations on paths. Pure functions; nothing here allocates but the
 * two path operations that give a new string.
 *
 * A glob is first freed of its braces: coco__fs_glob_expand calls a visitor with each plain glob it stands for. Plain
 * globs are matched without recursion. The idea: `*` and `**` match as little as possible, and on a mismatch the last
 * one seen takes one character more. Giving up earlier stars for good is sound: had an earlier one to take more, the
 * later one could as well start from where it is. So one place to resume for `*`, which stops at a slash, and one for
 * `**` behind it, are enough. */

#define COCO__FS_GLOB_MAX 1000        /* bytes of a glob, also of an expanded one */
#define COCO__FS_GLOB_BRACES 10       /* groups in one glob */
#define COCO__FS_GLOB_ALTERNATIVES 1000 /* plain globs that one glob may stand for */
#define COCO__FS_BAD 0xFFFFFFFFu      /* no character: what can't be decoded */

/* Decodes the character at p < end into *cp and returns its length; COCO__FS_BAD stands for the longest piece that
 * begins no character (overlong forms, surrogates and what is past U+10FFFF included). */
static size_t coco__fs_utf8_next(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    uint8_t lo = 0x80, hi = 0xBF;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    uint32_t c = p[0];

    *cp = COCO__FS_BAD;
    if (n < 2) {
        if (n) *cp = c;
        return 1;
    }
    c &= 0xFFu >> (n + 1);
    if (p[0] == 0xE0) lo = 0xA0;
    if (p[0] == 0xED) hi = 0x9F;
    if (p[0] == 0xF0) lo = 0x90;
    if (p[0] == 0xF4) hi = 0x8F;
    for (size_t i = 1; i < n; i++) {
        if (p + i == end || p[i] < lo || p[i] > hi) return i;
        c = c << 6 | (p[i] & 0x3Fu);
        lo = 0x80, hi = 0xBF;
    }
    *cp = c;
    return n;
}

static bool coco__fs_utf8_valid(const char *s, size_t n)
{
    const uint8_t *p = (const uint8_t *)s, *end = p + n;
    uint64_t word;
    uint32_t cp;

    while (p < end) {
        if (end - p >= 8 && (memcpy(&word, p, 8), !(word & 0x8080808080808080u))) {
            p += 8;
            continue;
        }
        p += *p < 0x80 ? (cp = *p, (size_t)1) : coco__fs_utf8_next(p, end, &cp);
        if (cp == COCO__FS_BAD) return false;
    }
    return true;
}

/* The end of the set that begins behind `[`: just past its `]`, or NULL if it has none. */
static const char *coco__fs_set_end(const char *g)
{
    if (*g == '!' || *g == '^') g++;
    if (*g == ']') g++;
    for (; *g && *g != ']'; g++)
        if (*g == '\\' && g[1]) g++;
    return *g ? g + 1 : NULL;
}

static uint32_t coco__fs_set_char(const char **g, const char *end)
{
    uint32_t cp;

    if (**g == '\\') ++*g;
    *g += coco__fs_utf8_next((const uint8_t *)*g, (const uint8_t *)end, &cp);
    return cp;
}

/* Whether the set from g (behind `[`) to end (past `]`) has the character. */
static bool coco__fs_set_has(const char *g, const char *end, uint32_t cp)
{
    bool negated = *g == '!' || *g == '^', found = false;

    for (g += negated; g < end - 1;) {
        uint32_t low = coco__fs_set_char(&g, end), high = low;
        if (*g == '-' && g + 1 < end - 1) {
            g++;
            high = coco__fs_set_char(&g, end);
        }
        if (low <= cp && cp <= high) found = true;
    }
    return found != negated;
}

/* Matches the one element of the glob at *g, which is no star, with the text at *s < end; on success both move on. */
static bool coco__fs_glob_one(const char **g, const char **s, const char *end)
{
    const char *glob = *g, *past = NULL;
    uint32_t cp;
    size_t n;

    if (*glob == '?' || (*glob == '[' && (past = coco__fs_set_end(glob + 1)) != NULL)) {
        n = coco__fs_utf8_next((const uint8_t *)*s, (const uint8_t *)end, &cp);
        if (cp == '/' || (past && !coco__fs_set_has(glob + 1, past, cp))) return false;
        *g = past ? past : glob + 1;
        *s += n;
        return true;
    }
    if (*glob == '\\' && glob[1]) glob++;
    if (*glob == '\0' || *glob != **s) return false;
    *g = glob + 1;
    ++*s;
    return true;
}

/* Where matching resumes after a mismatch. */
typedef struct coco__fs_resume {
    const char *g, *s; /* glob behind the star, text that it hasn't taken yet; g NULL: no star */
    bool whole;        /* `**` before a slash: takes whole names */
} coco__fs_resume;

/* One character more for `*`, which ends at a slash. */
static bool coco__fs_star_more(coco__fs_resume *star, const char *end)
{
    if (!star->g || star->s == end || *star->s == '/') return false;
    do star->s++;
    while (star->s < end && ((unsigned char)*star->s & 0xC0) == 0x80);
    return true;
}

/* One character more for `**`, or one name. */
static bool coco__fs_deep_more(coco__fs_resume *deep, const char *end)
{
    if (!deep->g || deep->s == end) return false;
    if (deep->whole) {
        const char *slash = memchr(deep->s, '/', (size_t)(end - deep->s));
        if (!slash) return false;
        deep->s = slash;
    }
    deep->s++;
    return true;
}

/* Matches a plain glob with the text. With below the text is a directory's path with a slash behind, and the question
 * is whether anything below it can match: whether the text ends before the glob does, or in the reach of a `*`. */
static bool coco__fs_glob_plain(const char *glob, const char *s, const char *end, bool below)
{
    coco__fs_resume star = { NULL, NULL, false }, deep = { NULL, NULL, false };
    const char *g = glob;

    for (;;) {
        if (g[0] == '*' && g[1] == '*') {
            if (below) return true;
            deep.whole = g[2] == '/' && (g == glob || g[-1] == '/');
            deep.g = g += deep.whole ? 3 : 2;
            deep.s = s;
            star.g = NULL;
        } else if (*g == '*') {
            star.g = ++g;
            star.s = s;
        } else if (s == end) {
            return below ? *g != '\0' || star.s == end : *g == '\0';
        } else if (!coco__fs_glob_one(&g, &s, end)) {
            if (coco__fs_star_more(&star, end)) {
                g = star.g;
                s = star.s;
            } else if (coco__fs_deep_more(&deep, end)) {
                g = deep.g;
                s = deep.s;
                star.g = NULL;
            } else {
                return false;
            }
        }
    }
}

/* Called with each plain glob; true ends the expansion. */
typedef struct coco__fs_visitor {
    bool (*fn)(struct coco__fs_visitor *v, const char *plain);
    int left;     /* alternatives that may still come */
    bool stopped; /* fn said true */
} coco__fs_visitor;

/* The first `{` of the glob outside sets, or its end; NULL if the glob is malformed before it, with *why. */
static const char *coco__fs_glob_brace(const char *g, const char **why)
{
    for (; *g && *g != '{'; g++) {
        if (*g == '\\') {
            if (!*++g) return *why = "ends in a backslash", NULL;
        } else if (*g == '[') {
            if (!(g = coco__fs_set_end(g + 1))) return *why = "has a [ without ]", NULL;
            g--;
        }
    }
    return g;
}

/* The end of the alternative at g: its comma or the closing brace, or NULL. */
static const char *coco__fs_glob_alternative(const char *g)
{
    for (int depth = 0; *g; g++) {
        if (*g == '\\' && g[1]) g++;
        else if (*g == '{') depth++;
        else if (depth == 0 && (*g == ',' || *g == '}')) return g;
        else if (*g == '}') depth--;
    }
    return NULL;
}

/* Calls v with each plain glob that the glob stands for. Returns NULL, or what is wrong with it. Depth is the number
 * of groups already opened up; each takes its first group apart and leaves the rest to the next. */
static const char *coco__fs_glob_expand(const char *glob, int depth, coco__fs_visitor *v)
{
    char plain[COCO__FS_GLOB_MAX + 1];
    const char *why = NULL, *open = coco__fs_glob_brace(glob, &why), *close = open, *from, *to;

    if (!open) return why;
    if (strlen(glob) > COCO__FS_GLOB_MAX) return "is longer than 1,000 bytes";
    if (*open == '\0') {
        if (v->left-- == 0) return "stands for more than 1,000 globs";
        v->stopped = v->fn(v, glob);
        return NULL;
    }
    if (depth == COCO__FS_GLOB_BRACES) return "has more than 10 groups in braces";
    do close = coco__fs_glob_alternative(close + 1);
    while (close && *close == ',');
    if (!close) return "has a { without }";
    for (from = open + 1; !v->stopped; from = to + 1) {
        to = coco__fs_glob_alternative(from);
        assert(to != NULL && to <= close);
        snprintf(plain, sizeof plain, "%.*s%.*s%s", (int)(open - glob), glob, (int)(to - from), from, close + 1);
        if ((why = coco__fs_glob_expand(plain, depth + 1, v)) != NULL || to == close) break;
    }
    return why;
}

typedef struct coco__fs_match {
    coco__fs_visitor v;
    const char *s, *end; /* the path */
} coco__fs_match;

static bool coco__fs_match_visit(coco__fs_visitor *v, const char *plain)
{
    const coco__fs_match *m = (const coco__fs_match *)v;

    return coco__fs_glob_plain(plain, m->s, m->end, false);
}

bool coco_glob_match(const char *glob, coco_str path)
{
    const char *s = path.p ? path.p : "";
    coco__fs_match m = { { coco__fs_match_visit, COCO__FS_GLOB_ALTERNATIVES, false }, s, s + path.n };

    return coco__fs_glob_expand(glob, 0, &m.v) == NULL && m.v.stopped;
}

/* ---- Rules: the globs of a walk -------------------------------------------------------------------------------- */

typedef struct coco__fs_rule {
    struct coco__fs_rule *next;
    const char *glob;   /* plain */
    const char *suffix; /* of a glob that asks for the end of the path alone, such as **.md: that end; else NULL */
    size_t nsuffix;     /* its length */
    bool take_back;     /* `!`: what matches is in again */
    bool dirs_only;     /* had a slash at its end */
} coco__fs_rule;

typedef struct coco__fs_compile {
    coco__fs_visitor v;
    coco_ctx *cx;
    coco__fs_rule **end; /* where the next rule goes */
    bool take_back;
    bool failed;         /* out of memory */
} coco__fs_compile;

static bool coco__fs_rule_add(coco__fs_visitor *v, const char *plain)
{
    coco__fs_compile *c = (coco__fs_compile *)v;
    size_t n = strlen(plain);
    coco__fs_rule *rule = coco_alloc(c->cx, sizeof *rule + n + 1);
    char *glob;

    if (!rule) return c->failed = true;
    glob = (char *)(rule + 1);
    memcpy(glob, plain, n);
    if (n > 1 && glob[n - 1] == '/') {
        rule->dirs_only = true;
        glob[--n] = '\0';
    }
    rule->glob = glob;
    rule->take_back = c->take_back;
    rule->suffix = strncmp(glob, "**/*", 4) == 0 ? glob + 4 : strncmp(glob, "**", 2) == 0 ? glob + 2 : NULL;
    if (rule->suffix && strpbrk(rule->suffix, "*?[\\/")) rule->suffix = NULL;
    rule->nsuffix = rule->suffix ? strlen(rule->suffix) : 0;
    *c->end = rule;
    c->end = &rule->next;
    return false;
}

/* Reads globs, one a line, into a list of rules in cx's memory. */
static coco_status coco__fs_rules(coco_ctx *cx, const char *lines, bool exclude, coco__fs_rule **rules)
{
    coco__fs_compile c = { { coco__fs_rule_add, 0, false }, cx, rules, false, false };
    char glob[COCO__FS_GLOB_MAX + 2];

    for (size_t n; lines && *lines; lines += n + (lines[n] == '\n')) {
        const char *why = NULL, *line = lines;
        n = strcspn(lines, "\n");
        c.take_back = exclude && *line == '!';
        line += c.take_back;
        snprintf(glob, sizeof glob, "%.*s", (int)(n - c.take_back > sizeof glob ? sizeof glob : n - c.take_back), line);
        if (n == 0) continue;
        c.v.left = COCO__FS_GLOB_ALTERNATIVES;
        if (glob[0] == '\0') why = "is empty";
        else if (glob[0] == '/' || strncmp(glob, "./", 2) == 0) why = "begins with / or ./, as no path here does";
        else if (!exclude && glob[strlen(glob) - 1] == '/') why = "ends in a slash, as no file's path does";
        else why = coco__fs_glob_expand(glob, 0, &c.v);
        if (c.failed) return COCO_ENOMEM;
        if (why) return coco_fail(cx, COCO_EINVAL, "the glob \"%s\" %s", glob, why);
    }
    return COCO_OK;
}

static bool coco__fs_rule_matches(const coco__fs_rule *rule, const char *path, size_t n, bool dir)
{
    if (rule->dirs_only && !dir) return false;
    if (rule->suffix) return n >= rule->nsuffix && memcmp(path + n - rule->nsuffix, rule->suffix, rule->nsuffix) == 0;
    return coco__fs_glob_plain(rule->glob, path, path + n, false);
}

/* Whether a path below the directory, given with a slash behind, can match one of the rules (those that take back, or
 * all). */
static bool coco__fs_rules_below(const coco__fs_rule *rules, const char *dir, size_t n, bool take_back)
{
    for (; rules; rules = rules->next)
        if ((rules->take_back || !take_back) && coco__fs_glob_plain(rules->glob, dir, dir + n, true)) return true;
    return false;
}

/* Whether the exclude rules leave the path out, its directory having been left out (pruned) or not. */
static bool coco__fs_rules_exclude(const coco__fs_rule *exclude, coco_str path, bool dir, bool pruned)
{
    for (; exclude; exclude = exclude->next)
        if (coco__fs_rule_matches(exclude, path.p, path.n, dir)) pruned = !exclude->take_back;
    return pruned;
}

/* Whether the rules let a walk enter the directory, given with a slash behind. *pruned: whether the one it is in was
 * left out, and only what is taken back in is given; then the same of this one. */
static bool coco__fs_rules_enter(const coco__fs_rule *include, const coco__fs_rule *exclude, coco_str path,
                                 bool *pruned)
{
    *pruned = coco__fs_rules_exclude(exclude, (coco_str){ path.p, path.n - 1 }, true, *pruned);
    if (*pruned && !coco__fs_rules_below(exclude, path.p, path.n, true)) return false;
    return !include || coco__fs_rules_below(include, path.p, path.n, false);
}

/* ---- Paths ----------------------------------------------------------------------------------------------------- */

/* Where the last name of the path begins. */
static size_t coco__fs_name_at(coco_str path)
{
    size_t i = path.n;

    while (i > 0 && path.p[i - 1] != '/') i--;
    return i;
}

/* Where its suffix begins; its end if it has none. */
static size_t coco__fs_suffix_at(coco_str path)
{
    size_t name = coco__fs_name_at(path);

    for (size_t i = path.n; i > name + 1; i--)
        if (path.p[i - 1] == '.') return i == path.n ? path.n : i - 1;
    return path.n;
}

coco_str coco_path_parent(coco_str path)
{
    size_t n = coco__fs_name_at(path);

    return (coco_str){ path.p, n > 1 ? n - 1 : n };
}

coco_str coco_path_name(coco_str path)
{
    size_t at = coco__fs_name_at(path);

    return (coco_str){ at ? path.p + at : path.p, path.n - at };
}

coco_str coco_path_stem(coco_str path)
{
    size_t at = coco__fs_name_at(path);

    return (coco_str){ at ? path.p + at : path.p, coco__fs_suffix_at(path) - at };
}

coco_str coco_path_suffix(coco_str path)
{
    size_t at = coco__fs_suffix_at(path);

    return (coco_str){ at ? path.p + at : path.p, path.n - at };
}

/* The first string, between, and the second, as one in cx's memory. */
static coco_str coco__fs_concat(coco_ctx *cx, coco_str a, const char *between, coco_str b)
{
    size_t m = strlen(between), n = a.n + m + b.n;
    char *s = coco_alloc(cx, n + 1);

    if (!s) return (coco_str){ NULL, 0 };
    if (a.n) memcpy(s, a.p, a.n);
    memcpy(s + a.n, between, m);
    if (b.n) memcpy(s + a.n + m, b.p, b.n);
    return (coco_str){ s, n };
}

coco_str coco_path_join(coco_ctx *cx, coco_str a, coco_str b)
{
    if (a.n == 0 || (b.n && b.p[0] == '/')) return coco__fs_concat(cx, b, "", (coco_str){ NULL, 0 });
    return coco__fs_concat(cx, a, a.p[a.n - 1] == '/' ? "" : "/", b);
}

coco_str coco_path_with_suffix(coco_ctx *cx, const coco_file *file, const char *suffix)
{
    coco_str path = coco_file_path(file);

    path.n = coco__fs_suffix_at(path);
    return coco__fs_concat(cx, path, suffix, (coco_str){ NULL, 0 });
}
