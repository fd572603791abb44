/* search.c - ranks and output, whatever the index. */
#include "search.h"

#include <stdlib.h>

struct found *search_found(struct search *s, int64_t id)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->found[i].id == id) return &s->found[i];
    if (s->n == sizeof s->found / sizeof s->found[0]) return NULL;
    s->found[s->n] = (struct found){ .id = id };
    return &s->found[s->n++];
}

static double score(const struct found *f)
{
    return (f->by_words ? 1.0 / (60 + f->by_words) : 0) + (f->by_vector ? 1.0 / (60 + f->by_vector) : 0);
}

static int better(const void *a, const void *b)
{
    double x = score(a), y = score(b);

    if (x != y) return x > y ? -1 : 1;
    return ((const struct found *)a)->id < ((const struct found *)b)->id ? -1 : 1;
}

void search_rank(struct search *s) { qsort(s->found, s->n, sizeof s->found[0], better); }

/* A snippet on lines of its own; white space is one blank. */
static void print_snippet(const char *p, bool colours)
{
    bool blank = true;

    fputs("    ", stdout);
    for (; *p; p++) {
        bool space = strchr(" \t\r\n", *p) != NULL;

        if (space && blank) continue;
        blank = space;
        if (*p == '\1') fputs(colours ? "\033[1m" : "*", stdout);
        else if (*p == '\2') fputs(colours ? "\033[0m" : "*", stdout);
        else if (space) putchar(' ');
        else if ((unsigned char)*p >= ' ') putchar(*p); /* a document may not talk to the terminal */
    }
    putchar('\n');
}

static void print_rank(const char *name, int rank)
{
    if (rank) printf("%s %d", name, rank);
    else printf("%s -", name);
}

void search_print(const struct search *s, bool colours)
{
    if (s->n == 0) puts("Nothing was found.");
    for (size_t i = 0; i < s->n && i < SHOWN; i++) {
        const struct found *f = &s->found[i];

        printf("%s%s:%lld%s", i ? "\n" : "", f->path ? f->path : "", (long long)f->line,
               f->heading && *f->heading ? "  " : "");
        if (f->heading) fputs(f->heading, stdout);
        fputs("  (", stdout);
        print_rank("words", f->by_words);
        if (s->vector) fputs(", ", stdout), print_rank("vector", f->by_vector);
        puts(")");
        if (f->snippet) print_snippet(f->snippet, colours);
    }
}

void search_free(struct search *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->found[i].path), free(s->found[i].heading), free(s->found[i].snippet);
    s->n = 0;
}
