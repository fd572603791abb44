/* logic.c - `cocoindex logic FILE.c …`: fingerprints of the logic of tracked functions, from their source text
 * (S4.9).
 *
 * The idea, in four steps:
 *   1. A file becomes tokens, as a C compiler sees them before it knows macros: comments, layout and line splices are
 *      gone.
 *   2. The tokens fall into external declarations. A COCO_FN, or a coco_fn variable with an initialiser, is a
 *      *tracked* one. Every other (function, variable, type, enumeration) is a *helper*, known by each name that it
 *      declares.
 *   3. A tracked function reaches each helper whose name its text mentions, and what those mention. Any mention
 *      counts: too much is an item converted once more, too little would be a stale result. Tracked functions are not
 *      reached: the engine follows their calls when they happen.
 *   4. Its fingerprint is that of its own tokens and of the reached helpers' in the order of their names, so that
 *      moving a helper changes nothing. A version field is left out: a function with a version doesn't use the
 *      fingerprint.
 *
 * Invisible: what macros expand to, and other files. Both branches of a conditional count, since which is taken is
 * unknown. Directives inside a function belong to its text. Uses only cocoindex.h. */
#include "logic.h"

#include "../cocoindex.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

typedef struct token {
    const char *p;      /* in the unit's text */
    size_t n;           /* 0 for the end of a directive */
    unsigned line;      /* in the file */
    bool ident;         /* identifier or keyword */
    bool pp;            /* part of a preprocessor line */
} token;

/* An external declaration, under one of its names. Two of one name are possible: the branches of a conditional. */
typedef struct decl {
    const char *name;
    size_t nname;
    size_t begin, end;  /* tokens */
    size_t skip;        /* of a tracked one: the token of its own name, which isn't logic */
    bool tracked;
    bool reached;       /* by the function being fingerprinted */
} decl;

/* One source file. */
typedef struct unit {
    const char *file;   /* as given */
    const char *base;   /* its last part */
    char *text;         /* with lines joined */
    unsigned *lines;    /* line of each byte of text */
    size_t ntext;
    token *tokens;
    size_t ntokens, captokens;
    decl *decls;        /* sorted by name, then place, once all are found */
    size_t ndecls, capdecls;
    FILE *err;
    bool failed;        /* a message has been printed */
} unit;

static void fail(unit *u, unsigned line, const char *fmt, ...) COCO__PRINTF(3, 4);

static void fail(unit *u, unsigned line, const char *fmt, ...)
{
    va_list ap;

    if (u->failed) return;
    u->failed = true;
    fprintf(u->err, "%s:", u->file);
    if (line > 0) fprintf(u->err, "%u:", line);
    fputc(' ', u->err);
    va_start(ap, fmt);
    vfprintf(u->err, fmt, ap);
    va_end(ap);
    fputc('\n', u->err);
}

/* Room for one more element of the given size behind n; false when out of memory. */
static bool grow(unit *u, void *array, size_t n, size_t *cap, size_t size)
{
    void **a = array, *p;
    size_t more = *cap > 0 ? 2 * *cap : 64;

    if (n < *cap) return true;
    p = realloc(*a, more * size);
    if (p == NULL) {
        fail(u, 0, "out of memory");
        return false;
    }
    *a = p;
    *cap = more;
    return true;
}

/* ---- 1. Tokens --------------------------------------------------------------------------------------------------- */

/* Reads the file into text, without backslash-newline pairs. */
static void read_text(unit *u)
{
    FILE *f = fopen(u->file, "rb");
    size_t cap = 0, caplines = 0;
    unsigned line = 1;
    int c;

    if (f == NULL) {
        fail(u, 0, "%s", strerror(errno));
        return;
    }
    while (!u->failed && (c = getc(f)) != EOF) {
        if (!grow(u, &u->text, u->ntext + 1, &cap, 1)) break;
        if (!grow(u, &u->lines, u->ntext + 1, &caplines, sizeof *u->lines)) break;
        if (c == '\r') continue;
        if (c == '\n' && u->ntext > 0 && u->text[u->ntext - 1] == '\\' && u->lines[u->ntext - 1] == line) {
            u->ntext--;
            line++;
            continue;
        }
        u->lines[u->ntext] = line;
        u->text[u->ntext++] = (char)c;
        if (c == '\n') line++;
    }
    if (ferror(f)) fail(u, 0, "%s", strerror(errno));
    fclose(f);
    if (u->text != NULL) u->text[u->ntext] = '\0';
}

static bool ident_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Where a literal that opens at i ends. In a directive (#error don't) an open one ends with its line. */
static size_t literal_end(unit *u, size_t i, bool pp)
{
    size_t j = i + 1;

    while (j < u->ntext && u->text[j] != u->text[i] && u->text[j] != '\n')
        j += u->text[j] == '\\' && u->text[j + 1] != '\n' ? 2 : 1;
    if (j < u->ntext && u->text[j] == u->text[i]) return j + 1;
    if (!pp) fail(u, u->lines[i], "%s is never closed", u->text[i] == '"' ? "a string" : "a character constant");
    return j < u->ntext ? j : u->ntext;
}

static size_t number_end(const unit *u, size_t i)
{
    while (i < u->ntext && (ident_char(u->text[i]) || u->text[i] == '.' ||
                            ((u->text[i] == '+' || u->text[i] == '-') && strchr("eEpP", u->text[i - 1]) != NULL)))
        i++;
    return i;
}

/* Operators of several characters are one token, so that `a - -b` and `a--b` differ. */
static size_t operator_end(const unit *u, size_t i)
{
    static const char *const OPERATORS[] = { "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=",
                                             "&&", "||", "+=", "-=", "*=", "/=", "%=", "&=", "^=", "|=", "##", NULL };

    for (size_t k = 0; OPERATORS[k] != NULL; k++)
        if (strncmp(u->text + i, OPERATORS[k], strlen(OPERATORS[k])) == 0) return i + strlen(OPERATORS[k]);
    return i + 1;
}

/* The end of the token at i. */
static size_t token_end(unit *u, size_t i, bool pp)
{
    char c = u->text[i];

    if (c == '"' || c == '\'') return literal_end(u, i, pp);
    if (isdigit((unsigned char)c) || (c == '.' && i + 1 < u->ntext && isdigit((unsigned char)u->text[i + 1])))
        return number_end(u, i + 1);
    if (!ident_char(c)) return operator_end(u, i);
    while (i < u->ntext && ident_char(u->text[i])) i++;
    return i;
}

static void add_token(unit *u, size_t from, size_t to, bool pp)
{
    char c = from < to ? u->text[from] : ' ';

    if (!grow(u, &u->tokens, u->ntokens, &u->captokens, sizeof *u->tokens)) return;
    u->tokens[u->ntokens++] = (token){ .p = u->text + from, .n = to - from, .line = u->lines[from], .pp = pp,
                                       .ident = ident_char(c) && !isdigit((unsigned char)c) };
}

/* Skips a comment at i, if there is one: returns where it ends, or i. */
static size_t skip_comment(unit *u, size_t i)
{
    const char *end;

    if (u->text[i] != '/') return i;
    if (u->text[i + 1] == '/') {
        while (i < u->ntext && u->text[i] != '\n') i++;
        return i;
    }
    if (u->text[i + 1] != '*') return i;
    end = strstr(u->text + i + 2, "*/");
    if (end != NULL) return (size_t)(end - u->text) + 2;
    fail(u, u->lines[i], "a comment is never closed");
    return u->ntext;
}

static void tokenize(unit *u)
{
    bool pp = false, fresh = true; /* in a directive; nothing but blanks so far on this line */
    size_t i = 0;

    while (i < u->ntext && !u->failed) {
        char c = u->text[i];
        size_t end = skip_comment(u, i);

        if (end > i) {
            i = end;
        } else if (c == '\n') {
            if (pp) add_token(u, i, i, true);
            pp = false;
            fresh = true;
            i++;
        } else if (isspace((unsigned char)c) || c == '\0') {
            i++;
        } else {
            if (fresh && c == '#') pp = true;
            fresh = false;
            end = token_end(u, i, pp);
            add_token(u, i, end, pp);
            i = end;
        }
    }
}

/* ---- 2. Declarations --------------------------------------------------------------------------------------------- */

static bool token_is(const unit *u, size_t i, const char *s)
{
    return i < u->ntokens && u->tokens[i].n == strlen(s) && memcmp(u->tokens[i].p, s, u->tokens[i].n) == 0;
}

static bool token_in(const unit *u, size_t i, const char *const *words)
{
    while (*words != NULL && !token_is(u, i, *words)) words++;
    return *words != NULL;
}

/* The first token from i on that isn't part of a directive. */
static size_t code(const unit *u, size_t i)
{
    while (i < u->ntokens && u->tokens[i].pp) i++;
    return i;
}

/* Keeps the depth right across #if … #else … #endif, where each branch may open the same brace: a branch begins at
 * the depth of its #if. Of a conditional that began outside (saved is empty) the depth is 0. */
typedef struct nesting {
    int depth, nsaved;
    int saved[64]; /* depth at each open #if */
} nesting;

static void nest_directive(const unit *u, size_t i, nesting *n)
{
    static const char *const IF[] = { "if", "ifdef", "ifndef", NULL };
    static const char *const ELSE[] = { "else", "elif", "elifdef", "elifndef", NULL };

    if (!token_is(u, i, "#")) return;
    if (token_in(u, i + 1, IF) && n->nsaved < 64) n->saved[n->nsaved++] = n->depth;
    if (token_in(u, i + 1, ELSE)) n->depth = n->nsaved > 0 ? n->saved[n->nsaved - 1] : 0;
    if (token_is(u, i + 1, "endif") && n->nsaved > 0) n->nsaved--;
}

/* The token that closes the bracket at i. */
static size_t closing(unit *u, size_t i)
{
    const char kind = u->tokens[i].p[0], end = kind == '(' ? ')' : kind == '{' ? '}' : ']';
    nesting n = { 0 };

    for (size_t j = i; j < u->ntokens; j++) {
        const token *t = &u->tokens[j];

        if (t->pp) nest_directive(u, j, &n);
        else if (t->n == 1 && t->p[0] == kind) n.depth++;
        else if (t->n == 1 && t->p[0] == end && --n.depth == 0) return j;
    }
    fail(u, u->tokens[i].line, "`%c` is never closed", kind);
    return u->ntokens;
}

static void add_decl(unit *u, size_t name, size_t begin, size_t end)
{
    if (!grow(u, &u->decls, u->ndecls, &u->capdecls, sizeof *u->decls)) return;
    u->decls[u->ndecls++] = (decl){ .name = u->tokens[name].p, .nname = u->tokens[name].n, .begin = begin, .end = end };
}

static void add_tracked(unit *u, size_t name, size_t begin, size_t end)
{
    add_decl(u, name, begin, end);
    if (u->failed) return;
    u->decls[u->ndecls - 1].tracked = true;
    u->decls[u->ndecls - 1].skip = name;
}

/* A word that may stand before a parenthesis without being what is declared. */
static bool is_keyword(const unit *u, size_t i)
{
    static const char *const WORDS[] = {
        "void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "_Bool", "bool", "const",
        "__attribute__", "__declspec", "_Alignas", "typeof", "__typeof__", "_Static_assert", "static_assert", NULL
    };

    return token_in(u, i, WORDS);
}

/* The constants of an enumeration between its braces. */
static void add_constants(unit *u, size_t open, size_t close, size_t begin, size_t end)
{
    for (size_t i = open + 1; i < close; i++)
        if (u->tokens[i].ident && !u->tokens[i].pp && (token_is(u, i - 1, "{") || token_is(u, i - 1, ",")))
            add_decl(u, i, begin, end);
}

static const char *const TAGGED[] = { "struct", "union", "enum", NULL };
static const char *const OPEN[] = { "(", "{", "[", NULL };
static const char *const CLOSE[] = { ")", "}", "]", NULL };

/* Whether the word at i, outside brackets and initialisers, is what its declaration declares: a function (the word
 * before a parenthesis), a variable or type (the word before = [ , or ;), a tag. */
static bool is_declared(const unit *u, size_t i)
{
    static const char *const BEHIND_NAME[] = { "(", "=", "[", ",", ";", ")", NULL };

    if (!u->tokens[i].ident || is_keyword(u, i)) return false;
    return token_in(u, code(u, i + 1), BEHIND_NAME) || (i > 0 && token_in(u, i - 1, TAGGED));
}

/* Enters the helper begin … end under each name it declares, and the constants of an enumeration. */
static void add_helper(unit *u, size_t begin, size_t end)
{
    bool enumeration = false, value = false;

    for (size_t i = begin; i < end && !u->failed; i++) {
        size_t close;

        if (u->tokens[i].pp) continue;
        if (token_is(u, i, "enum")) enumeration = true;
        if (token_is(u, i, "=")) value = true;
        if (token_is(u, i, ",")) value = false;
        if (!value && is_declared(u, i)) add_decl(u, i, begin, end);
        if (!token_in(u, i, OPEN)) continue;
        if (token_is(u, i + 1, "*") && !value) continue; /* `int (*f(void))(int)` declares in its parentheses */
        close = closing(u, i);
        if (enumeration && token_is(u, i, "{")) add_constants(u, i, close, begin, end);
        i = close;
    }
}

/* A COCO_FN at i: its end. */
static size_t take_macro(unit *u, size_t i)
{
    size_t open = code(u, i + 1), name = code(u, open + 1), body;

    if (!token_is(u, open, "(") || name >= u->ntokens || !u->tokens[name].ident) {
        fail(u, u->tokens[i].line, "COCO_FN wants a name");
        return u->ntokens;
    }
    body = code(u, closing(u, open) + 1);
    if (u->failed) return u->ntokens;
    if (!token_is(u, body, "{")) {
        fail(u, u->tokens[i].line, "COCO_FN(%.*s) has no body", (int)u->tokens[name].n, u->tokens[name].p);
        return u->ntokens;
    }
    body = closing(u, body) + 1;
    add_tracked(u, name, i, body);
    return body;
}

/* What the walk through a declaration has seen. */
typedef struct shape {
    bool value, tagged, by_hand; /* a `=`; struct, union or enum; coco_fn as its type */
    size_t name;                 /* the word before the first = */
} shape;

/* Finds the end of the declaration at i: behind its `;`, or behind the braces that are a function's body. */
static size_t declaration_end(unit *u, size_t i, shape *s)
{
    size_t last = i;

    for (size_t j = i; j < u->ntokens && !u->failed; j = code(u, j + 1)) {
        if (token_is(u, j, ";")) return j + 1;
        if (token_is(u, j, "=") && !s->value) {
            s->value = true;
            s->name = last;
        }
        if (token_in(u, j, TAGGED)) s->tagged = true;
        if (token_is(u, j, "coco_fn") && !s->value && !token_is(u, code(u, j + 1), "*")) s->by_hand = true;
        if (u->tokens[j].ident) last = j;
        if (token_is(u, j, "(") && !s->value) s->tagged = false; /* struct x f(…) { is a function */
        if (token_is(u, j, "{") && !s->value && !s->tagged) return closing(u, j) + 1;
        if (token_in(u, j, OPEN)) j = closing(u, j);
    }
    return u->ntokens;
}

static void find_declarations(unit *u)
{
    int linkage = 0; /* open extern "C" { */
    size_t i = code(u, 0);

    while (i < u->ntokens && !u->failed) {
        shape s = { 0 };
        size_t end;

        if (token_is(u, i, "COCO_FN")) {
            end = take_macro(u, i);
        } else if (token_is(u, i, "extern") && token_is(u, i + 1, "\"C\"") && token_is(u, i + 2, "{")) {
            linkage++;
            end = i + 3;
        } else if (token_is(u, i, "}")) {
            if (--linkage < 0) fail(u, u->tokens[i].line, "`}` closes nothing");
            end = i + 1;
        } else {
            end = declaration_end(u, i, &s);
            if (u->failed) return;
            if (s.by_hand && s.value) add_tracked(u, s.name, i, end);
            else add_helper(u, i, end);
        }
        i = code(u, end);
    }
}

static int order_decls(const void *a, const void *b)
{
    const decl *x = a, *y = b;
    int c = memcmp(x->name, y->name, x->nname < y->nname ? x->nname : y->nname);

    if (c != 0) return c;
    if (x->nname != y->nname) return x->nname < y->nname ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* ---- 3. and 4. What is reached, and its fingerprint -------------------------------------------------------------- */

/* The first declaration not ordered before the name. */
static size_t find_name(const unit *u, const token *t)
{
    decl key = { .name = t->p, .nname = t->n };
    size_t lo = 0, hi = u->ndecls;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (order_decls(&u->decls[mid], &key) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* Marks every helper that tokens of the declaration mention, and those that these mention. The depth of the recursion
 * is at most the number of helpers. */
static void reach(unit *u, const decl *from)
{
    for (size_t i = from->begin; i < from->end; i++) {
        const token *t = &u->tokens[i];

        if (!t->ident) continue;
        for (size_t k = find_name(u, t); k < u->ndecls; k++) {
            decl *d = &u->decls[k];

            if (d->nname != t->n || memcmp(d->name, t->p, t->n) != 0) break;
            if (d->tracked || d->reached) continue;
            d->reached = true;
            reach(u, d);
        }
    }
}

/* Whether a `.version = …` begins at i, in a tracked declaration; *end is where its value ends. */
static bool is_version(const unit *u, size_t i, size_t *end)
{
    size_t word = code(u, i + 1);
    int depth = 0;

    if (!token_is(u, i, ".") || !token_is(u, word, "version") || !token_is(u, code(u, word + 1), "=")) return false;
    for (*end = i + 1; *end < u->ntokens; ++*end) {
        if (depth == 0 && (token_is(u, *end, ",") || token_in(u, *end, CLOSE))) break;
        if (token_in(u, *end, OPEN)) depth++;
        if (token_in(u, *end, CLOSE)) depth--;
    }
    return true;
}

/* Where a version field may stand: before this token, in a COCO_FN's arguments or an initialiser, not in a body. */
static size_t head_end(unit *u, const decl *d)
{
    if (!d->tracked) return d->begin;
    return token_is(u, d->begin, "COCO_FN") ? closing(u, code(u, d->begin + 1)) : d->end;
}

static void hash_decl(unit *u, const decl *d, coco_hash *h)
{
    size_t head = head_end(u, d), end;
    static const uint8_t BETWEEN_TOKENS = 0;

    for (size_t i = d->begin; i < d->end; i++) {
        if (d->tracked && i == d->skip) continue;
        if (i < head && token_is(u, i, ",")) continue; /* so that a version leaves none behind */
        if (i < head && is_version(u, i, &end)) {
            i = end - 1;
            continue;
        }
        coco_hash_add(h, u->tokens[i].p, u->tokens[i].n);
        coco_hash_add(h, &BETWEEN_TOKENS, 1);
    }
}

/* The fingerprint of the tracked declarations first … last - 1, which have one name, as 32 hex digits. */
static void fingerprint(unit *u, size_t first, size_t last, char hex[33])
{
    coco_hash h;
    uint8_t fp[16];
    static const uint8_t BETWEEN_DECLS = 1;

    for (size_t k = 0; k < u->ndecls; k++) u->decls[k].reached = false;
    coco_hash_begin(&h);
    for (size_t k = first; k < last; k++) {
        hash_decl(u, &u->decls[k], &h);
        reach(u, &u->decls[k]);
    }
    for (size_t k = 0; k < u->ndecls; k++) {
        if (!u->decls[k].reached) continue;
        coco_hash_add(&h, &BETWEEN_DECLS, 1);
        hash_decl(u, &u->decls[k], &h);
    }
    coco_hash_end(&h, fp);
    for (size_t i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", fp[i]);
}

/* ---- The header -------------------------------------------------------------------------------------------------- */

/* A C name for what is generated from this file: another for other functions, the same whatever their bodies say. */
static void unit_name(const unit *u, char *out, size_t size)
{
    coco_hash h;
    uint8_t fp[16];
    size_t n = 0;

    coco_hash_begin(&h);
    coco_hash_add(&h, u->base, strlen(u->base));
    for (size_t i = 0; i < u->ndecls; i++)
        if (u->decls[i].tracked) coco_hash_add(&h, u->decls[i].name, u->decls[i].nname);
    coco_hash_end(&h, fp);
    for (; n < 60 && u->base[n] != '\0'; n++) out[n] = isalnum((unsigned char)u->base[n]) ? u->base[n] : '_';
    snprintf(out + n, size - n, "_%02x%02x%02x%02x", fp[0], fp[1], fp[2], fp[3]);
}

static void print_quoted(FILE *out, const char *p, size_t n)
{
    fputc('"', out);
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\') fputc('\\', out);
        fputc(p[i], out);
    }
    fputc('"', out);
}

/* Prints the entries, or with out NULL only counts them. */
static size_t print_entries(unit *u, FILE *out)
{
    size_t count = 0, next;

    for (size_t i = 0; i < u->ndecls; i = next) {
        const decl *d = &u->decls[i];
        char hex[33];

        next = i + 1;
        if (!d->tracked) continue;
        while (next < u->ndecls && u->decls[next].tracked && u->decls[next].nname == d->nname &&
               memcmp(u->decls[next].name, d->name, d->nname) == 0)
            next++;
        count++;
        if (out == NULL) continue;
        fingerprint(u, i, next, hex);
        fprintf(out, "    { ");
        print_quoted(out, u->base, strlen(u->base));
        fprintf(out, ", \"%.*s\", \"%s\" },\n", (int)d->nname, d->name, hex);
    }
    return count;
}

static void print_unit(unit *u, FILE *out)
{
    char name[80];
    size_t n = print_entries(u, NULL);

    if (n == 0) {
        fprintf(out, "\n/* no tracked functions in this file */\n");
        return;
    }
    unit_name(u, name, sizeof name);
    fprintf(out, "\n#ifndef COCO_LOGIC_%s\n#define COCO_LOGIC_%s\n", name, name);
    fprintf(out, "static const coco_logic_entry coco_logic_%s_entries[] = {\n", name);
    print_entries(u, out);
    fprintf(out, "};\nstatic coco_logic_table coco_logic_%s_table = ", name);
    fprintf(out, "{ coco_logic_%s_entries, %zu, NULL };\n", name, n);
    fprintf(out, "COCO_AT_START(coco_logic_%s) { coco_logic_register(&coco_logic_%s_table); }\n#endif\n", name, name);
}

static void open_unit(unit *u, const char *file, FILE *err)
{
    const char *slash = strrchr(file, '/');

    *u = (unit){ .file = file, .base = slash != NULL ? slash + 1 : file, .err = err };
    read_text(u);
    if (!u->failed) tokenize(u);
    if (!u->failed) find_declarations(u);
    if (!u->failed && u->ndecls > 0) qsort(u->decls, u->ndecls, sizeof *u->decls, order_decls);
}

static void close_unit(unit *u)
{
    free(u->text);
    free(u->lines);
    free(u->tokens);
    free(u->decls);
}

int coco_logic_print(char *const *files, size_t n, FILE *out, FILE *err)
{
    unit *units = calloc(n > 0 ? n : 1, sizeof *units);
    bool failed = units == NULL;

    if (units == NULL) fprintf(err, "cocoindex: out of memory\n");
    for (size_t i = 0; i < n && !failed; i++) {
        open_unit(&units[i], files[i], err);
        failed = units[i].failed;
    }
    if (!failed) {
        fprintf(out, "/* Logic fingerprints, generated by `cocoindex logic`. */\n");
        fprintf(out, "#ifndef COCOINDEX_H\n#include \"cocoindex.h\"\n#endif\n");
    }
    for (size_t i = 0; i < n && !failed; i++) print_unit(&units[i], out);
    for (size_t i = 0; i < n && units != NULL; i++) close_unit(&units[i]);
    free(units);
    return failed ? 2 : 0;
}
