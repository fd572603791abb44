/* C source as `cocoindex logic` reads it: any text is printed as a header or refused; a comment behind it changes
 * nothing (S4.9). */
#include "fuzz.h"

static FILE *open_input(const char *path, const char *mode);
#define fopen open_input
#define coco_logic_print fuzz_logic_print /* tools/logic.c is linked, too */
#include "../tools/logic.c"
#undef fopen

static char *input;
static size_t ninput;

static FILE *open_input(const char *path, const char *mode)
{
    (void)path;
    return fmemopen(input, ninput, mode);
}

/* The header, or NULL. */
static char *header_of(void)
{
    char *const file = (char *)(uintptr_t)"fuzz.c", *text = NULL, *why = NULL;
    size_t n = 0, nwhy = 0;
    FILE *out = open_memstream(&text, &n), *err = open_memstream(&why, &nwhy);
    int rc;

    PROMISE(out && err);
    rc = fuzz_logic_print(&file, 1, out, err);
    fclose(out);
    fclose(err);
    PROMISE(rc == 0 ? n && !nwhy : rc == 2 && !n && nwhy);
    free(why);
    if (rc == 0) return text;
    free(text);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char comment[] = "/* behind it */ // it\n";
    char *header, *again;

    while (n && (data[n - 1] == '\r' || data[n - 1] == '\\')) n--; /* a splice would make the comment part of a line */
    if (!n) return 0;
    PROMISE(input = malloc(n + 1 + sizeof comment));
    memcpy(input, data, n);
    input[n++] = '\n'; /* a directive ends with its line */
    ninput = n;
    header = header_of();
    if (header) {
        memcpy(input + n, comment, sizeof comment - 1);
        ninput = n + sizeof comment - 1;
        PROMISE((again = header_of()) != NULL);
        PROMISE(strcmp(header, again) == 0);
        free(again);
    }
    free(header);
    free(input);
    return 0;
}
