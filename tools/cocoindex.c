/* cocoindex.c - the `cocoindex` tool: looks into any state database without the program that made it (ls, show),
 * checks, compacts and copies it (check, compact, backup), starts a program (init), and fingerprints functions' logic
 * (logic).
 *
 * The library is included as one unit: the tool shares the command line's parser and listings with coco_main. */
#include "../cocoindex_lmdb.c"

#include "logic.h"

/* ---- logic ------------------------------------------------------------------------------------------------------- */

/* Writes beside the output and renames: a failure leaves no half a header, and none that make takes for new. */
static int write_logic(coco__cli *c, const char *path)
{
    char temporary[PATH_MAX];
    FILE *out;
    int status;

    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return coco__cli_usage(c, "%s: the name is too long", path);
    out = fopen(temporary, "w");
    if (out == NULL) return coco__cli_usage(c, "%s: %s", temporary, strerror(errno));
    status = coco_logic_print(c->words, (size_t)c->nwords, out, stderr);
    if (fclose(out) != 0 && status == 0) status = coco__cli_usage(c, "%s: %s", temporary, strerror(errno));
    if (status == 0 && rename(temporary, path) != 0) status = coco__cli_usage(c, "%s: %s", path, strerror(errno));
    if (status != 0) remove(temporary);
    return status;
}

static int run_logic(coco__cli *c)
{
    if (c->nwords == 0) return coco__cli_usage(c, "logic wants a C file");
    if (c->output != NULL) return write_logic(c, c->output);
    return coco_logic_print(c->words, (size_t)c->nwords, stdout, stderr);
}

/* ---- init -------------------------------------------------------------------------------------------------------- */

typedef struct template {
    const char *path; /* in the new folder; a leading % is its name */
    const char *text; /* % stands for the name, %% for itself */
} template;

static const template TEMPLATES[] = {
    { "%.c",
      "/* % - copies every Markdown file below docs/ to the same place below out/.\n"
      " *\n"
      " * Files that change are copied again, files that go are deleted there, the rest is left alone. */\n"
      "#include \"cocoindex.h\"\n"
      "#include \"connectors/localfs.h\"\n"
      "\n"
      "/* One file in, one file out. Memoized: an unchanged file is not copied again, until this code changes (the\n"
      " * Makefile keeps a fingerprint of it). */\n"
      "COCO_FN(copy, (coco_file *, file, coco_dir *, out), .memo = true)\n"
      "{\n"
      "    coco_str text;\n"
      "\n"
      "    COCO_TRY(coco_file_read_text(cx, file, &text));\n"
      "    return coco_dir_declare_file(cx, out, coco_file_path(file), text);\n"
      "}\n"
      "\n"
      "COCO_FN(app_main, ())\n"
      "{\n"
      "    coco_walk_opts markdown = { .include = \"**.md\" };\n"
      "    coco_dir *out;\n"
      "\n"
      "    COCO_TRY(coco_mount_dir(cx, coco_param(cx, \"out\"), &out));\n"
      "    return coco_mount_each(cx, COCO_AUTO, &copy, coco_walk_dir(cx, coco_param(cx, \"source\"), &markdown),\n"
      "                           COCO_ARGS(coco_dir_value(out)));\n"
      "}\n"
      "\n"
      "int main(int argc, char **argv)\n"
      "{\n"
      "    coco_app_config app = {\n"
      "        .name = \"%\",\n"
      "        .main = &app_main,\n"
      "        .params = (coco_param_def[]){ { \"source\", \"docs\", \"directory of Markdown files\" },\n"
      "                                      { \"out\", \"out\", \"directory for the copies\" },\n"
      "                                      { 0 } },\n"
      "    };\n"
      "\n"
      "    return coco_main(argc, argv, &app, 1);\n"
      "}\n" },
    { "Makefile",
      "# Finds CocoIndex by pkg-config, or takes its sources from COCOINDEX_DIR: make COCOINDEX_DIR=../cocoindex\n"
      "CC ?= cc\n"
      "CFLAGS ?= -O2 -g -Wall -Wextra\n"
      "COCOINDEX ?= cocoindex\n"
      "\n"
      "ifdef COCOINDEX_DIR\n"
      "INCLUDES = -I$(COCOINDEX_DIR)\n"
      "LIBRARY = $(COCOINDEX_DIR)/cocoindex_lmdb.c $(COCOINDEX_DIR)/connectors/localfs.c -llmdb -pthread\n"
      "else\n"
      "ifeq ($(shell pkg-config --exists cocoindex && echo yes)$(filter clean,$(MAKECMDGOALS)),)\n"
      "$(error CocoIndex is not installed: make COCOINDEX_DIR=directory-of-its-sources)\n"
      "endif\n"
      "INCLUDES = $(shell pkg-config --cflags cocoindex)\n"
      "LIBRARY = $(shell pkg-config --libs cocoindex)\n"
      "endif\n"
      "\n"
      "# Without the cocoindex tool the program builds all the same: raise .version by hand when a function changes.\n"
      "LOGIC = $(if $(shell sh -c 'command -v $(COCOINDEX)'),%.logic.h)\n"
      "\n"
      "%: %.o\n"
      "\t$(CC) -std=c11 $(CFLAGS) $(INCLUDES) $< $(LIBRARY) -o $@\n"
      "\n"
      "# The header is for this program alone: the library's sources begin with macros of their own.\n"
      "%.o: %.c $(LOGIC)\n"
      "\t$(CC) -std=c11 $(CFLAGS) $(INCLUDES) $(addprefix -include ,$(LOGIC)) -c $< -o $@\n"
      "\n"
      "%.logic.h: %.c\n"
      "\t$(COCOINDEX) logic -o $@ $<\n"
      "\n"
      "clean:\n"
      "\trm -f % %.o %.logic.h\n"
      "\n"
      ".PHONY: clean\n" },
    { "README.md",
      "# %\n"
      "\n"
      "Copies every Markdown file below `docs/` to `out/`, and keeps the copies in step.\n"
      "\n"
      "    make          # or: make COCOINDEX_DIR=where-the-sources-of-cocoindex-are\n"
      "    ./% update    # again after an edit: only what changed is done\n"
      "    ./% update --explain\n"
      "    ./% show --tree\n"
      "    ./% drop\n"
      "\n"
      "`./% update --help` lists the options and the parameters. The state is in `.cocoindex/`.\n" },
    { "docs/hello.md", "# Hello\n\nEdit this file and run `./% update` again.\n" },
};

/* Letters, digits, - and _, beginning with a letter: good as a file, program and app name. What the folder holds
 * besides the program isn't. */
static bool good_name(const char *name)
{
    if (strcmp(name, "docs") == 0 || strcmp(name, "out") == 0 || strcmp(name, "clean") == 0) return false;
    if (!isalpha((unsigned char)*name)) return false;
    while (isalnum((unsigned char)*name) || *name == '-' || *name == '_') name++;
    return *name == '\0';
}

static void put_template(FILE *out, const char *text, const char *name)
{
    for (; *text != '\0'; text++) {
        if (*text != '%') fputc(*text, out);
        else if (text[1] == '%') fputc(*text++, out);
        else fputs(name, out);
    }
}

/* Creates the file, which must not exist. */
static int write_template(coco__cli *c, const char *folder, const char *name, const template *t)
{
    const char *rest = t->path[0] == '%' ? t->path + 1 : t->path;
    char path[PATH_MAX];
    FILE *out;

    snprintf(path, sizeof path, "%s/%s%s", folder, rest != t->path ? name : "", rest);
    out = fopen(path, "wx");
    if (out != NULL) put_template(out, t->text, name);
    if (out != NULL && fclose(out) == 0) return 0;
    return coco__cli_usage(c, "%s: %s", path, strerror(errno));
}

static int run_init(coco__cli *c)
{
    const char *folder = c->nwords > 0 ? c->words[0] : "", *slash = strrchr(folder, '/');
    const char *name = slash != NULL ? slash + 1 : folder;
    char docs[PATH_MAX];

    if (c->nwords != 1) return coco__cli_usage(c, "init wants one name");
    if (!good_name(name)) return coco__cli_usage(c, "%s isn't a name: letters, digits, - and _, a letter first", name);
    if (snprintf(docs, sizeof docs, "%s/docs", folder) >= (int)sizeof docs - 64)
        return coco__cli_usage(c, "the name is too long");
    if (mkdir(folder, 0777) != 0)
        return coco__cli_usage(c, "%s: %s, nothing was written", folder, errno == EEXIST ? "exists" : strerror(errno));
    if (mkdir(docs, 0777) != 0) return coco__cli_usage(c, "%s: %s", docs, strerror(errno));
    for (size_t i = 0; i < sizeof TEMPLATES / sizeof TEMPLATES[0]; i++)
        COCO_TRY(write_template(c, folder, name, &TEMPLATES[i]));
    printf("%s: written. Next: cd %s && make && ./%s update\n", folder, folder, name);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static const coco__cli_command COMMANDS[] = {
    { "ls", "[--db DIR] [options]", "list the apps of a state database", COCO__CLI_LS, coco__cli_ls },
    { "show", "[--db DIR] [APP] [PATH] [options]", "list the components at PATH and below", COCO__CLI_SHOW,
      coco__cli_show },
    { "check", "[--db DIR] [APP] [options]", "look whether all that is recorded is in order", COCO__CLI_CHECK,
      coco__cli_check },
    { "compact", "[--db DIR]", "make a state database as small as it can be", COCO__CLI_COMPACT, coco__cli_compact },
    { "backup", "[--db DIR] FILE", "copy a state database into a new file", COCO__CLI_BACKUP, coco__cli_backup },
    { "init", "NAME", "write a folder NAME with a program that builds and runs", COCO__CLI_INIT, run_init },
    { "logic", "[-o FILE] FILE.c ...", "print a header of fingerprints of functions' code", COCO__CLI_LOGIC,
      run_logic },
    { NULL, NULL, NULL, 0, NULL },
};

int main(int argc, char **argv)
{
    coco__cli c = { .commands = COMMANDS };

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("cocoindex %s, database format %d\n", coco_version(), COCO_FORMAT_VERSION);
        return 0;
    }
    return coco__cli_main(&c, argc, argv);
}
