/* Lines of a .env file: what it sets is what stands there, and nothing else is set. */
#include "fuzz.h"

static int keep_variable(const char *key, const char *value, int overwrite);
#define setenv keep_variable
#undef COCO__IN /* the command line is linked, too */
#define COCO__IN static COCO__UNUSED
#include "../engine/cli_line.c"
#undef setenv

static int keep_variable(const char *key, const char *value, int overwrite)
{
    PROMISE(*key && !strpbrk(key, "= \t#\"'") && (*key < '0' || *key > '9'));
    PROMISE(strlen(value) < (size_t)1 << 20 && overwrite == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1), *line = text;

    PROMISE(text);
    if (n) memcpy(text, data, n);
    text[n] = 0;
    for (char *end; line; line = end) {
        if ((end = strchr(line, '\n')) != NULL) *end++ = 0;
        coco__cli_env_line(line);
    }
    free(text);
    return 0;
}
