/* A pantry as a program. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SHELF_ROOM 16

struct jar {
    const char *name;
    int due; /* days since the beginning */
    bool open;
};

struct shelf {
    struct jar jars[SHELF_ROOM];
    int n;
};

/* Puts a jar where it belongs: what is open in front, then by date. Returns false if it is there already. */
static bool shelf_put(struct shelf *s, struct jar jar)
{
    int at = 0;

    if (s->n == SHELF_ROOM) return false;
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->jars[i].name, jar.name) == 0) return false;
    while (at < s->n && (s->jars[at].open > jar.open || (s->jars[at].open == jar.open && s->jars[at].due <= jar.due)))
        at++;
    memmove(s->jars + at + 1, s->jars + at, (size_t)(s->n - at) * sizeof jar);
    s->jars[at] = jar;
    s->n++;
    return true;
}

int main(void)
{
    struct shelf first = { .n = 0 };

    shelf_put(&first, (struct jar){ "rice", 400, false });
    shelf_put(&first, (struct jar){ "lentils", 20, true });
    for (int i = 0; i < first.n; i++)
        printf("%s is due in %d days\n", first.jars[i].name, first.jars[i].due);
    return 0;
}
