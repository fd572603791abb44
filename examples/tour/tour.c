/* tour - a lesson: one small program runs itself again and again, each time with one thing changed, and the
 * engine's events say what was run, what was not, and why.
 *
 *     tour [STATE-DIRECTORY]
 *
 * The program turns notes into cards on a shelf. Its source is an array, its target (the shelf) a few strings in
 * memory: so all that there is to see is what the engine decides. A real program is edited between two runs; here
 * main() edits the descriptors (version, deps), the notes and the context instead. */
#include "cocoindex.h"

#include <stdlib.h>

/* ---- The shelf: a target of our own
 *  -------------------------------------------------------------------------------------- */

#define MAX_CARDS 8

/* Where the cards stand. Outside the engine: it knows them only through the handler below. */
static struct card {
    char key[16];  /* "" is a free place */
    char text[64];
} shelf[MAX_CARDS];

static struct card *card_at(coco_str key)
{
    struct card *vacant = NULL;

    for (struct card *c = shelf; c < shelf + MAX_CARDS; c++) {
        if (coco_str_equal(coco_str_of(c->key), key)) return c;
        if (!vacant && c->key[0] == '\0') vacant = c;
    }
    return vacant;
}

/* Does what reconcile chose. Whatever is there already, it comes out right: after a crash an action may come a
 * second time. */
static coco_status shelf_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self;
    for (size_t i = 0; i < n; i++) {
        coco_str key = coco_text_of(actions[i]->key);
        struct card *c = card_at(key);

        if (!c) return coco_err_set(err, COCO_EFULL, "the shelf holds %d cards", MAX_CARDS);
        if (actions[i]->kind == COCO_DELETE) {
            c->key[0] = '\0';
        } else {
            snprintf(c->key, sizeof c->key, "%.*s", (int)key.n, key.p);
            snprintf(c->text, sizeof c->text, "%s", (const char *)actions[i]->value);
        }
    }
    return 0;
}

/* Chooses what to do for one card. The record that the engine keeps for us is the text itself. */
static coco_status shelf_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    coco_str text = in->desired ? coco_text_of(*in->desired) : (coco_str){ NULL, 0 };

    (void)self;
    if (!in->desired) {
        out->act = in->npossible > 0;
        out->action.kind = COCO_DELETE;
        return 0;
    }
    out->record = text;
    if (in->npossible == 1 && !in->may_be_missing && coco_str_equal(in->possible[0], text)) return 0;
    out->act = true;
    out->action.kind = in->npossible > 0 ? COCO_UPDATE : COCO_INSERT;
    out->action.text = text;
    out->action.value = (void *)(uintptr_t)coco_copy(cx, text).p;
    return 0;
}

static coco_sink shelf_sink = { .apply = shelf_apply, .name = "shelf" };

static coco_status shelf_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx, (void)key;
    *out = (coco_target_handler){ .name = "shelf", .sink = &shelf_sink, .reconcile = shelf_reconcile };
    return 0;
}

static coco_target_type shelf_type = { .name = "shelf", .make = shelf_make };
COCO_AT_START(shelf) { coco_target_register(&shelf_type); }

/* ---- The program
 *  --------------------------------------------------------------------------------------------------------- */

struct note {
    const char *name, *text;
    bool sign; /* the card ends with the signature */
};

static struct note notes[] = {
    { "ada", "the engine weaves", false },
    { "bob", "look at this!", false },
    { "eve", "yours", true },
};
static size_t nnotes = sizeof notes / sizeof *notes;

static const char *loud = "!!"; /* what emphasis makes of an exclamation mark */

static coco_key SIGNATURE = COCO_KEY("signature", .detect_change = true);

/* Every card calls it: the text with a capital letter. */
COCO_FN(tidy, (coco_str, text), .memo = true, .version = 1)
{
    char *copy = (char *)(uintptr_t)coco_copy(cx, text).p;

    if (!copy) return coco_error(cx);
    if (text.n > 0 && copy[0] >= 'a' && copy[0] <= 'z') copy[0] = (char)(copy[0] - 'a' + 'A');
    return coco_return(cx, coco_text(copy));
}

/* Only a card whose text ends in an exclamation mark calls it. Its deps say what else its result depends on. */
COCO_FN(emphasis, (coco_str, text), .memo = true, .version = 1, .deps = COCO_TEXT("!!"))
{
    return coco_return(cx, coco_text_n(coco_format(cx, "%.*s%s", (int)text.n - 1, text.p, loud)));
}

/* Only a card that is to be signed calls it. Not memoized, so it has no result to keep; what it reads is noted all
 * the same. */
COCO_FN(signature, (coco_str, text))
{
    coco_str by = coco_text_of(coco_context(cx, &SIGNATURE));

    return coco_return(cx, coco_text_n(coco_format(cx, "%.*s, %.*s", (int)text.n, text.p, (int)by.n, by.p)));
}

/* Note in, card out. */
COCO_FN(card, (coco_value, note, coco_target *, place), .memo = true, .version = 1)
{
    coco_value text = coco_get(note, "text");

    COCO_TRY(coco_call(cx, &tidy, COCO_ARGS(text), &text));
    if (coco_text_of(text).p[coco_count(text) - 1] == '!') COCO_TRY(coco_call(cx, &emphasis, COCO_ARGS(text), &text));
    if (coco_bool_of(coco_get(note, "sign"))) COCO_TRY(coco_call(cx, &signature, COCO_ARGS(text), &text));
    return coco_declare(cx, place, coco_get(note, "name"), text);
}

COCO_FN(app_main, ())
{
    coco_value keys[MAX_CARDS], items[MAX_CARDS];
    coco_pair fields[MAX_CARDS][3];
    coco_target *place = coco_target_new(cx, "shelf", coco_null(), "shelf");

    if (!place) return coco_error(cx);
    for (size_t i = 0; i < nnotes; i++) {
        fields[i][0] = (coco_pair){ COCO_STR("name"), coco_text(notes[i].name) };
        fields[i][1] = (coco_pair){ COCO_STR("text"), coco_text(notes[i].text) };
        fields[i][2] = (coco_pair){ COCO_STR("sign"), coco_bool(notes[i].sign) };
        keys[i] = fields[i][0].value;
        items[i] = coco_map_value(fields[i], 3);
    }
    return coco_mount_each(cx, COCO_AUTO, &card, coco_source_of(cx, keys, items, nnotes),
                           COCO_ARGS(coco_target_value(place)));
}

/* ---- What the engine decides, as it decides it
 *  ----------------------------------------------------------------------------- */

static void tell(void *quiet, const coco_event *e)
{
    static const char *const did[] = { "put", "replaced", "removed" };

    if (*(bool *)quiet) return;
    switch (e->kind) {
    case COCO_EV_STARTED: printf("  run    %s: %s\n", e->path, e->detail); break;
    case COCO_EV_HIT: printf("  skip   %s: unchanged\n", e->path); break;
    case COCO_EV_CALL_MISS: printf("  run      %s, called there: %s\n", e->function, e->detail); break;
    case COCO_EV_CALL_HIT: printf("  skip     %s, called there: its result is remembered\n", e->function); break;
    case COCO_EV_GONE: printf("  gone   %s: no longer mounted\n", e->path); break;
    case COCO_EV_DELETED: printf("  forget %s\n", e->path); break;
    case COCO_EV_APPLIED: printf("  shelf  %s %s\n", did[e->action], e->state); break;
    case COCO_EV_FAILED: printf("  failed %s: %s\n", e->path, e->detail); break;
    default: break;
    }
}

static coco_status provide_signature(coco_ctx *cx, void *value)
{
    return coco_provide(cx, &SIGNATURE, coco_text(value));
}

/* One run of the program as it now is: what a process would do from its start to its end. */
static coco_status run(coco_env *env, char *signed_by, coco_err *err)
{
    const coco_app_config config = { .name = "tour", .main = &app_main, .setup = provide_signature, .user = signed_by };
    coco_app *app;
    coco_status rc = coco_app_open(env, &config, &app, err);

    if (rc == 0) rc = coco_update(app, NULL, NULL, err);
    coco_app_close(app);
    for (struct card *c = shelf; c < shelf + MAX_CARDS; c++)
        if (c->key[0]) printf("         [%s] %s\n", c->key, c->text);
    return rc;
}

/* An earlier tour may have left its state; the shelf it tells of died with it. */
static coco_status forget_earlier(coco_env *env, coco_err *err)
{
    const coco_app_config config = { .name = "tour", .main = &app_main };
    coco_app *app;
    coco_status rc = coco_app_open(env, &config, &app, err);

    if (rc == 0) rc = coco_drop(app, NULL, err);
    coco_app_close(app);
    return rc;
}

static coco_status tour(coco_env *env, coco_err *err)
{
    char first[] = "the reading room", second[] = "the archive";

    puts("0. The first run: nothing is remembered, so everything runs.");
    COCO_TRY(run(env, first, err));

    puts("\n1. An input: ada's text is edited. Her card runs, and only what comes out is replaced.");
    notes[0].text = "the engine weaves patterns";
    COCO_TRY(run(env, first, err));

    puts("\n2. A version: card's goes from 1 to 2. Every card runs, but what it calls still stands, and nothing new "
         "comes out.");
    card.version = 2;
    COCO_TRY(run(env, first, err));

    puts("\n3. A dependency value: emphasis is given another. Only bob's card had called it.");
    loud = "!!!";
    emphasis.deps = coco_text(loud);
    COCO_TRY(run(env, first, err));

    puts("\n4. A context value: the signature. Only eve's card had read it.");
    COCO_TRY(run(env, second, err));

    puts("\n5. A callee: tidy's version. Every card had called it; all come out as they were, so the shelf is left "
         "alone.");
    tidy.version = 2;
    COCO_TRY(run(env, second, err));

    puts("\n6. A deleted item: bob's note. Nothing but the root runs, and his card is removed.");
    notes[1] = notes[2];
    nnotes = 2;
    COCO_TRY(run(env, second, err));

    puts("\n7. A renamed item: eve is now eva. A new name is a new card, but tidy's result for the same text is found "
         "again.");
    notes[1].name = "eva";
    return run(env, second, err);
}

int main(int argc, char **argv)
{
    bool quiet = true;
    coco_env_config config = { .db = argc > 1 ? argv[1] : "tour.db", .on_event = tell, .user = &quiet };
    coco_env *env;
    coco_err err = { 0 };
    coco_status rc = coco_env_open(&config, &env, &err);

    if (rc == 0) rc = forget_earlier(env, &err);
    quiet = false;
    if (rc == 0) rc = tour(env, &err);
    if (rc != 0) fprintf(stderr, "tour: %s: %s\n", coco_status_name(rc), err.msg);
    coco_env_close(env);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
