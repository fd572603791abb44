/* language.c - part of text.c: names of languages, and which one a file is in (spec: text, language detection). The
 * data is the table in ../languages.h; a search reads it from top to bottom, a few microseconds for a file. */
#include "../languages.h"

typedef struct coco__language {
    const char *name;
    const char *aliases, *files, *interpreters; /* words */
} coco__language;

static const coco__language coco__languages[] = {
#define COCO__LANGUAGE(name, aliases, files, interpreters) { name, aliases, files, interpreters },
    COCO_LANGUAGES(COCO__LANGUAGE)
#undef COCO__LANGUAGE
};

/* Whether a word is among the words of a list. */
static bool coco__listed(const char *words, coco_str word, bool any_case)
{
    for (const char *p = words, *end; *p; p = end) {
        while (*p == ' ') p++;
        end = p + strcspn(p, " ");
        if ((size_t)(end - p) != word.n || word.n == 0) continue;
        if (any_case ? strncasecmp(p, word.p, word.n) == 0 : memcmp(p, word.p, word.n) == 0) return true;
    }
    return false;
}

#define COCO__EACH_LANGUAGE(l) \
    for (const coco__language *l = coco__languages; \
         l < coco__languages + sizeof coco__languages / sizeof coco__languages[0]; l++)

static const char *coco__language_named(coco_str name)
{
    COCO__EACH_LANGUAGE(l)
        if (coco__listed(l->name, name, true) || coco__listed(l->aliases, name, true)) return l->name;
    return NULL;
}

const char *coco_language_name(const char *name) { return name ? coco__language_named(coco_str_of(name)) : NULL; }

/* The language of files that are called so. */
static const char *coco__language_of_file(coco_str name)
{
    COCO__EACH_LANGUAGE(l)
        if (coco__listed(l->files, name, false)) return l->name;
    return NULL;
}

/* By the last extension, then by longer ones, the longest first, then by the whole name or what is before its dot. */
static const char *coco__language_by_name(coco_str file)
{
    const char *end = file.p + file.n, *found = NULL, *dot = NULL;

    for (const char *p = file.p; p < end; p++)
        if (*p == '.') dot = p;
    if (dot && (found = coco__language_named((coco_str){ dot, (size_t)(end - dot) })) != NULL) return found;
    for (const char *p = file.p; p < end && !found; p++)
        if (*p == '.') found = coco__language_named((coco_str){ p, (size_t)(end - p) });
    if (found || (found = coco__language_of_file(file)) != NULL) return found;
    dot = file.n ? memchr(file.p, '.', file.n) : NULL;
    return dot ? coco__language_of_file((coco_str){ file.p, (size_t)(dot - file.p) }) : NULL;
}

/* The word at *p of a line, which ends at `end`. */
static coco_str coco__word(const char **p, const char *end)
{
    const char *start;

    while (*p < end && (**p == ' ' || **p == '\t')) ++*p;
    for (start = *p; *p < end && **p != ' ' && **p != '\t';) ++*p;
    return (coco_str){ start, (size_t)(*p - start) };
}

/* The last name of a path. */
static coco_str coco__base_name(coco_str path)
{
    size_t n = path.n;

    while (n && path.p[n - 1] != '/' && path.p[n - 1] != '\\') n--;
    return (coco_str){ path.p ? path.p + n : NULL, path.n - n };
}

/* The command that a #! line runs. Behind `env` come its options (-S: the rest is a command line; -u takes a word) and
 * settings of variables. */
static coco_str coco__interpreter(coco_str line)
{
    const char *p = line.p, *end = p + line.n;
    coco_str word = coco__base_name(coco__word(&p, end));

    if (word.n != 3 || memcmp(word.p, "env", 3) != 0) return word;
    do {
        word = coco__word(&p, end);
        if (word.n == 2 && memcmp(word.p, "-u", 2) == 0) coco__word(&p, end);
        if (word.n > 2 && memcmp(word.p, "-S", 2) == 0) word.p += 2, word.n -= 2;
    } while (word.n && (word.p[0] == '-' || memchr(word.p, '=', word.n)));
    return coco__base_name(word);
}

/* By the #! line of a text. A version behind the name (python3.11, lua-5.4) doesn't count. */
static const char *coco__language_by_line(coco_str text)
{
    const char *end;
    coco_str word;

    if (text.n < 3 || memcmp(text.p, "#!", 2) != 0) return NULL;
    for (end = text.p + 2; end < text.p + text.n && *end != '\n' && *end != '\r';) end++;
    word = coco__interpreter((coco_str){ text.p + 2, (size_t)(end - text.p) - 2 });
    for (;; word.n--) {
        COCO__EACH_LANGUAGE(l)
            if (coco__listed(l->interpreters, word, false)) return l->name;
        if (!word.n || !strchr("0123456789.-", word.p[word.n - 1])) return NULL;
    }
}

const char *coco_detect_language(const char *path, coco_str text)
{
    const char *found = path ? coco__language_by_name(coco__base_name(coco_str_of(path))) : NULL;

    return found ? found : coco__language_by_line(text);
}
