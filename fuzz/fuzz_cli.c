/* The command line: words, one a line, are read as a program's are; nothing runs. */
#define coco_main coco_main_of_this /* the command line is linked, too */
#include "fuzz.h"

static FILE *nowhere;
#undef stderr
#define stderr nowhere
#undef stdout
#define stdout nowhere
#undef COCO__IN
#define COCO__IN static COCO__UNUSED
#include "../engine/cli_line.c"
#include "../engine/cli_store.c"
#include "../engine/progress.c"
#include "../engine/cli.c"
#undef stderr
#undef stdout

static int own(coco_app *app, int nargs, char **args)
{
    (void)app, (void)nargs, (void)args;
    return 0;
}

static const coco_param_def params[] = { { "source", "docs", "where from" }, { "out", NULL, NULL }, { 0 } };
static const coco_command commands[] = { { "search", "WORD", "looks", own }, { NULL, NULL, NULL, NULL } };
static const coco_app_config apps[] = { { .name = "one", .params = params, .commands = commands },
                                        { .name = "two", .env = "other" } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    coco__cli c = { .program = "fuzz", .commands = COCO__CLI_COMMANDS, .apps = apps, .napps = 2 };
    const coco_app_config *app = NULL;
    char *text = malloc(n + 1), *argv[64];
    int argc = 0;

    if (!nowhere) nowhere = fopen("/dev/null", "w");
    PROMISE(text && nowhere);
    if (n) memcpy(text, data, n);
    text[n] = 0;
    for (char *word = text; word && argc < 64; argc++) {
        argv[argc] = word;
        if ((word = strchr(word, '\n')) != NULL) *word++ = 0;
    }
    c.next = argv;
    c.end = argv + argc;
    if (coco__cli_find_command(&c, *c.next++) == 0 && coco__cli_parse(&c) == 0) {
        PROMISE(c.next == c.end && c.nwords <= argc && c.recheck <= 100);
        coco__cli_select(&c, c.nwords ? c.words[0] : NULL, &app);
        coco__cli_segment(c.nwords ? c.words[0] : "/");
    }
    free(text);
    return 0;
}
