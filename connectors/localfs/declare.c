/* declare.c - part of localfs.c: what a program calls to declare directories and files.
 *
 * A declared value is a file's bytes, or a map: of a file with "content", of a directory without; "mode", "durable"
 * and "parents" are the options, "made" says how many directories were missing, from the state upward. That is looked
 * up here, where I/O is allowed, because the handler does none; it stays true in the record once it was (target.c,
 * invariant 3). */

struct coco_dir {
    coco_target *target; /* the place of its content */
};

/* A directory's memo key is its target's: identity, not the state of its content. */
static coco_status coco__fs_dir_key(coco_ctx *cx, void *object, coco_value *key)
{
    return coco_target_class.memo_key(cx, ((coco_dir *)object)->target, key);
}

/* A returned directory: the target behind it lives until the update ends. */
static coco_status coco__fs_dir_copy(coco_ctx *cx, void *object, void **out)
{
    coco_dir *copy = coco_alloc(cx, sizeof *copy);

    if (!copy) return COCO_ENOMEM;
    *copy = *(coco_dir *)object;
    *out = copy;
    return COCO_OK;
}

coco_class coco_dir_class = { .type = "coco_dir", .memo_key = coco__fs_dir_key, .copy = coco__fs_dir_copy };

coco_value coco_dir_value(coco_dir *dir)
{
    return coco_object(&coco_dir_class, dir);
}

/* How many directories are missing from base/rel upward. */
static int64_t coco__fs_missing(const char *base, coco_str rel)
{
    char buf[PATH_MAX], *slash;
    struct stat st;
    int64_t n = 0;

    if (snprintf(buf, sizeof buf, "%s%s%.*s", base, rel.n ? "/" : "", (int)rel.n, rel.p) >= (int)sizeof buf) return 0;
    while (stat(buf, &st) != 0 && errno == ENOENT) {
        n++;
        if (!(slash = strrchr(buf, '/')) || slash == buf) break;
        *slash = '\0';
    }
    return n;
}

#define COCO__FS_PAIRS 5 /* entries of a declared map at most */

/* The value of a directory, in pairs. */
static coco_value coco__fs_dir_desired(const coco_dir_opts *o, int64_t made, coco_pair pairs[COCO__FS_PAIRS])
{
    pairs[0] = (coco_pair){ COCO_STR("made"), coco_int(made) };
    pairs[1] = (coco_pair){ COCO_STR("mode"), coco_int(o->mode) };
    pairs[2] = (coco_pair){ COCO_STR("durable"), coco_bool(o->durable) };
    pairs[3] = (coco_pair){ COCO_STR("parents"), coco_bool(!o->no_parents) };
    return coco_map_value(pairs, 4);
}

/* Declares the directory at a base, in a component of its own (mount) or in the running one. */
static coco_status coco__fs_declare_base(coco_ctx *cx, coco_value base, const coco_dir_opts *opts, bool mount,
                                         coco_dir **dir)
{
    static const coco_dir_opts defaults;
    const coco_dir_opts *o = opts ? opts : &defaults;
    coco_container_opts container = { .title = o->title, .user_managed = o->user_managed };
    coco_pair pairs[COCO__FS_PAIRS];
    coco_target *root;
    const char *path;
    coco_value id, value;
    int64_t made;

    *dir = NULL;
    COCO_TRY(coco__fs_resolve(cx, base, &id, &path));
    COCO_TRY(coco__fs_mark_target(cx, path, true));
    if (!(root = coco_target_new(cx, "localfs", coco_null(), NULL))) return coco_error(cx);
    if (!(*dir = coco_alloc(cx, sizeof **dir))) return COCO_ENOMEM;
    /* What the user manages is never ours to remove, and without parents only the directory itself is made. */
    made = o->user_managed ? 0 : coco__fs_missing(path, COCO_STR(""));
    value = coco__fs_dir_desired(o, o->no_parents && made > 1 ? 1 : made, pairs);
    return mount ? coco_mount_target(cx, root, id, value, &container, &(*dir)->target)
                 : coco_declare_container(cx, root, id, value, &container, &(*dir)->target);
}

coco_status coco_mount_dir(coco_ctx *cx, coco_value base, coco_dir **dir)
{
    return coco__fs_declare_base(cx, base, NULL, true, dir);
}

coco_status coco_mount_dir_with(coco_ctx *cx, coco_value base, const coco_dir_opts *opts, coco_dir **dir)
{
    return coco__fs_declare_base(cx, base, opts, true, dir);
}

coco_status coco_declare_dir(coco_ctx *cx, coco_value base, const coco_dir_opts *opts, coco_dir **dir)
{
    return coco__fs_declare_base(cx, base, opts, false, dir);
}

/* The value of a file: its bytes, or pairs where there is more to say. */
static coco_value coco__fs_file_desired(coco_str content, const coco_file_opts *o, int64_t made,
                                        coco_pair pairs[COCO__FS_PAIRS])
{
    if (!o) return coco_bytes(content.p, content.n);
    pairs[0] = (coco_pair){ COCO_STR("content"), coco_bytes(content.p, content.n) };
    pairs[1] = (coco_pair){ COCO_STR("made"), coco_int(made) };
    pairs[2] = (coco_pair){ COCO_STR("mode"), coco_int(o->mode) };
    pairs[3] = (coco_pair){ COCO_STR("durable"), coco_bool(o->durable) };
    pairs[4] = (coco_pair){ COCO_STR("parents"), coco_bool(o->create_parents) };
    return coco_map_value(pairs, COCO__FS_PAIRS);
}

/* A name that could not be made (memory ran out) has left its error in cx. */
static coco_status coco__fs_check_declared(coco_ctx *cx, coco_dir *dir, coco_str name)
{
    if (!name.p) COCO_TRY(coco_error(cx));
    if (dir && dir->target) return COCO_OK;
    return coco_fail(cx, COCO_EINVAL, "no directory to declare \"%.*s\" in", (int)name.n, name.n ? name.p : "");
}

coco_status coco_dir_declare_file_with(coco_ctx *cx, coco_dir *dir, coco_str name, coco_str content,
                                       const coco_file_opts *opts)
{
    coco_pair pairs[COCO__FS_PAIRS];

    COCO_TRY(coco__fs_check_declared(cx, dir, name));
    return coco_declare(cx, dir->target, coco_text_n(name), coco__fs_file_desired(content, opts, 0, pairs));
}

coco_status coco_dir_declare_file(coco_ctx *cx, coco_dir *dir, coco_str name, coco_str content)
{
    return coco_dir_declare_file_with(cx, dir, name, content, NULL);
}

/* Whether the directory is there is asked where the target would make it: below the place of its container. */
coco_status coco_dir_declare_dir_with(coco_ctx *cx, coco_dir *dir, coco_str name, const coco_dir_opts *opts,
                                      coco_dir **child)
{
    static const coco_dir_opts defaults;
    const coco_dir_opts *o = opts ? opts : &defaults;
    coco_container_opts container = { .title = o->title, .user_managed = o->user_managed };
    const coco__fs_place *place;
    coco_pair pairs[COCO__FS_PAIRS];
    coco_str rel;

    *child = NULL;
    COCO_TRY(coco__fs_check_declared(cx, dir, name));
    place = coco_target_self(dir->target);
    rel = coco_path_join(cx, place->rel, name);
    if (!rel.p || !(*child = coco_alloc(cx, sizeof **child))) return COCO_ENOMEM;
    return coco_declare_container(cx, dir->target, coco_text_n(name),
                                  coco__fs_dir_desired(o, coco__fs_missing(place->base, rel) > 0, pairs), &container,
                                  &(*child)->target);
}

coco_status coco_dir_declare_dir(coco_ctx *cx, coco_dir *dir, coco_str name, coco_dir **child)
{
    return coco_dir_declare_dir_with(cx, dir, name, NULL, child);
}

/* The key of a single file is its path, cleaned, so that "./a" and "a" are one state; with a base, the two. */
coco_status coco_declare_file(coco_ctx *cx, coco_value path, coco_str content, const coco_file_opts *opts)
{
    coco_value key[2];
    coco_pair pairs[COCO__FS_PAIRS];
    coco_target *root;
    const char *base = ".";
    coco_str clean, parent;
    int64_t made = 0;
    bool based = opts && opts->base.kind != COCO_NULL;

    COCO_TRY(coco__fs_check_path(cx, path, "the file"));
    clean = coco__fs_path_clean(cx, coco_text_of(path));
    if (!clean.p) return COCO_ENOMEM;
    key[1] = coco_text_n(clean);
    if (based) COCO_TRY(coco__fs_resolve(cx, opts->base, &key[0], &base));
    parent = coco_path_parent(clean);
    if (opts && opts->create_parents)
        made = clean.n && clean.p[0] == '/' ? coco__fs_missing("", parent) : coco__fs_missing(base, parent);
    if (!(root = coco_target_new(cx, "localfs", coco_null(), NULL))) return coco_error(cx);
    return coco_declare(cx, root, based ? coco_list(key, 2) : key[1],
                        coco__fs_file_desired(content, opts, made, pairs));
}
