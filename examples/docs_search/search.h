/* search.h - what is found: candidates by words and by vectors, joined by their ranks. */
#ifndef SEARCH_H
#define SEARCH_H

#include "cocoindex.h"

enum { CANDIDATES = 50, SHOWN = 10 };

struct found {
    int64_t id;              /* what the index calls the passage */
    char *path, *heading;    /* of malloc, as snippet; heading may be NULL */
    char *snippet;           /* words between \1 and \2 are those that were searched */
    int64_t line;
    int by_words, by_vector; /* ranks from 1; 0: not among the candidates */
};

struct search {
    const char *words;
    const float *vector;     /* of the words; NULL: search by words alone */
    size_t dimensions;
    double farthest;         /* a passage at a greater cosine distance is no candidate */
    struct found found[2 * CANDIDATES];
    size_t n;
};

/* The candidate with that id, added if it isn't there; NULL: there is no room. */
struct found *search_found(struct search *s, int64_t id);

/* By reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): 1 / (60 + rank) from each list, best first. */
void search_rank(struct search *s);
void search_print(const struct search *s, bool colours);
void search_free(struct search *s);

/* Fill in candidates. Errors: with err set. */
struct coco_sqlite;
struct coco_postgres;
coco_status search_sqlite(struct coco_sqlite *db, struct search *s, bool extension, coco_err *err);
coco_status search_postgres(struct coco_postgres *db, struct search *s, coco_err *err);

/* Who made the vectors of the index: "MODEL (N dimensions)"; empty: there are none, or it doesn't say. */
void made_by_sqlite(struct coco_sqlite *db, char *out, size_t size);
void made_by_postgres(struct coco_postgres *db, char *out, size_t size);

#endif
