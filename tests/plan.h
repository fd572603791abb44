/* plan.h - a program that a test writes as one line of text: which containers there are, and which component
 * declares what.
 *
 *     plan("tab #box tab/sub+s2", "a: tab.1=10 tab.2=20 | B: box.1=1 [own] own.7=7 | a/c: tab.3=30");
 *
 * Containers (mounted by main, in order): on the shelf, or with # in the crate, where a container takes its
 * content along; tab/sub stands in tab. +s2 and +l2 are the schema and what is lossy in it, +u makes rows unique,
 * +m is managed by the user. Components: a row is CONTAINER.KEY=VALUE, [name] a container on the shelf that the
 * component itself declares, tab@index.1=5 a row of an attachment, ! a failure. tab.1-60=5 is sixty rows; tab.1=*5 a
 * row whose value a memoized function computes. A name in capitals is a memoized function, run again only when its
 * words change. a/c is mounted by a, after (or with plan_children_first before)
 * a's own declarations; with a trailing & it is used (use_mount). */
#ifndef COCO_TEST_PLAN_H
#define COCO_TEST_PLAN_H

#include "harness.h"

static const char *plan_tables, *plan_text;
static bool plan_children_first;
static struct {
    char name[40];
    coco_target *target;
} plan_targets[100];
static size_t plan_ntargets;
static pthread_mutex_t plan_mutex = PTHREAD_MUTEX_INITIALIZER;

COCO_FN_DECLARE(plan_main);

static inline void plan(const char *tables, const char *text)
{
    plan_tables = tables;
    plan_text = text;
    plan_children_first = false;
    program(&plan_main);
}

/* Copies the next word; NULL at the end. */
static inline const char *plan_word(const char *p, char *out, size_t size)
{
    size_t n = 0;

    while (*p == ' ') p++;
    if (*p == 0 || *p == '|') return NULL;
    for (; *p && *p != ' ' && *p != '|'; p++)
        if (n + 1 < size) out[n++] = *p;
    out[n] = 0;
    return p;
}

/* The words of the component in the section that begins at p; its name. */
static inline const char *plan_section(const char *p, char *name, size_t size)
{
    p = plan_word(p, name, size);
    if (p && name[0]) name[strlen(name) - 1] = 0; /* the colon */
    return p;
}

static inline coco_target *plan_target(coco_ctx *cx, const char *name)
{
    const char *at = strchr(name, '@');
    size_t n = at ? (size_t)(at - name) : strlen(name);
    coco_target *out = NULL;

    pthread_mutex_lock(&plan_mutex);
    for (size_t i = 0; i < plan_ntargets && !out; i++)
        if (strlen(plan_targets[i].name) == n && memcmp(plan_targets[i].name, name, n) == 0)
            out = plan_targets[i].target;
    pthread_mutex_unlock(&plan_mutex);
    if (at && out && coco_attachment(cx, out, at + 1, &out) != COCO_OK) return NULL;
    if (!out) coco_fail(cx, COCO_ENOTFOUND, "no container %s", name);
    return out;
}

static inline void plan_keep(const char *name, coco_target *t)
{
    pthread_mutex_lock(&plan_mutex);
    snprintf(plan_targets[plan_ntargets].name, sizeof plan_targets[0].name, "%s", name);
    plan_targets[plan_ntargets++].target = t;
    pthread_mutex_unlock(&plan_mutex);
}

static inline coco_value plan_key(coco_ctx *cx, const char *s)
{
    char *end;
    long long n = strtoll(s, &end, 10);

    return *end ? coco_text(coco_copy(cx, coco_str_of(s)).p) : coco_int(n);
}

/* "tab+s2": mounts the container (own false), or declares it in this component. */
static inline coco_status plan_container(coco_ctx *cx, char *word, bool own)
{
    coco_pair pairs[3];
    size_t n = 0;
    coco_container_opts opts = { 0 };
    coco_target *parent, *t;
    bool in_crate = word[0] == '#';

    for (char *plus = strrchr(word, '+'); plus; plus = strrchr(word, '+')) {
        if (plus[1] == 'm') opts.user_managed = true;
        else if (plus[1] == 'u') pairs[n++] = (coco_pair){ COCO_STR("unique"), coco_bool(true) };
        else
            pairs[n++] = (coco_pair){ coco_str_of(plus[1] == 's' ? "schema" : "lossy"),
                                      coco_int(strtoll(plus + 2, NULL, 10)) };
        *plus = 0;
    }
    word += in_crate;
    char *slash = strrchr(word, '/');
    if (slash) *slash = 0;
    parent = slash ? plan_target(cx, word) : in_crate ? crate(cx) : root(cx);
    if (slash) *slash = '/';
    coco_value value = n ? coco_map_value(pairs, n) : coco_null(), key = coco_text(slash ? slash + 1 : word);
    COCO_TRY(own ? coco_declare_container(cx, parent, key, value, &opts, &t)
                 : coco_mount_target(cx, parent, key, value, &opts, &t));
    plan_keep(word, t);
    return COCO_OK;
}

#ifdef COCO_SMALL
#define PLAN_MUCH 60
#else
#define PLAN_MUCH 600
#endif

/* The number twice, and so much beside it that the result is kept apart from the memo. */
COCO_FN(plan_double, (int, n), .memo = true)
{
    char much[PLAN_MUCH];

    memset(much, 'a' + n % 26, sizeof much);
    const coco_value both[] = { coco_int(2 * n), coco_text_n((coco_str){ much, sizeof much }) };
    return coco_return(cx, coco_list(both, 2));
}

static inline coco_status plan_row(coco_ctx *cx, char *word)
{
    char *dot = strrchr(word, '.'), *equals = strchr(word, '='), *dash = strchr(dot, '-');
    coco_target *t;
    coco_value value;

    *dot = *equals = 0;
    if (!(t = plan_target(cx, word))) return coco_error(cx) ? coco_error(cx) : COCO_ENOTFOUND;
    value = plan_key(cx, equals[1] == '*' ? equals + 2 : equals + 1);
    if (equals[1] == '*') {
        COCO_TRY(coco_call(cx, &plan_double, COCO_ARGS(value), &value));
        value = coco_at(value, 0);
    }
    if (!dash) return coco_declare(cx, t, plan_key(cx, dot + 1), value);
    for (int i = atoi(dot + 1); i <= atoi(dash + 1); i++) COCO_TRY(coco_declare(cx, t, coco_int(i), value));
    return COCO_OK;
}

static inline coco_status plan_mounts(coco_ctx *cx, const char *parent);

static inline coco_status plan_words(coco_ctx *cx, const char *p)
{
    char word[80];

    while ((p = plan_word(p, word, sizeof word)) != NULL) {
        if (word[0] == '!') return coco_fail(cx, COCO_EFAIL, "failed as planned");
        if (word[0] == '[') {
            word[strlen(word) - 1] = 0;
            COCO_TRY(plan_container(cx, word + 1, true));
        } else {
            COCO_TRY(plan_row(cx, word));
        }
    }
    return COCO_OK;
}

static inline coco_status plan_part(coco_ctx *cx, const char *name, const char *words)
{
    if (plan_children_first) COCO_TRY(plan_mounts(cx, name));
    COCO_TRY(plan_words(cx, words));
    return plan_children_first ? COCO_OK : plan_mounts(cx, name);
}

COCO_FN(part, (const char *, name, const char *, words)) { return plan_part(cx, name, words); }
COCO_FN(memo_part, (const char *, name, const char *, words), .memo = true) { return plan_part(cx, name, words); }

/* Mounts the components below `parent` ("" is the root). */
static inline coco_status plan_mounts(coco_ctx *cx, const char *parent)
{
    char name[80], words[600];
    size_t n = strlen(parent);

    for (const char *p = plan_text; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        const char *rest = plan_section(p, name, sizeof name);
        if (!rest || (n && (strncmp(name, parent, n) != 0 || name[n] != '/')) || strchr(name + n + (n != 0), '/'))
            continue;
        snprintf(words, sizeof words, "%.*s", (int)strcspn(rest, "|"), rest);
        bool use = name[strlen(name) - 1] == '&', memo;
        if (use) name[strlen(name) - 1] = 0;
        const char *last = name + n + (n != 0);
        memo = last[0] >= 'A' && last[0] <= 'Z';
        const coco_fn *fn = memo ? &memo_part : &part;
        coco_args args = COCO_ARGS(coco_text(name), coco_text(words));
        coco_path path = COCO_PATH(coco_text(last));
        COCO_TRY(use ? coco_use_mount(cx, path, fn, args, NULL) : coco_mount(cx, path, fn, args, NULL));
    }
    return COCO_OK;
}

COCO_FN(plan_main, ())
{
    char word[80];

    plan_ntargets = 0;
    for (const char *p = plan_tables; (p = plan_word(p, word, sizeof word)) != NULL;)
        COCO_TRY(plan_container(cx, word, false));
    return plan_mounts(cx, "");
}

#endif /* COCO_TEST_PLAN_H */
