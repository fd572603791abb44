/* target.c - part of localfs.c: directories and files as targets.
 *
 * One root target, "localfs", holds what is named by its own path: mounted directories and single files. Its keys are
 * a path (a text), the name of a context key (a symbol), or [such a base, path below it]. A directory is a container;
 * the keys of its content are names in it, which may have slashes.
 *
 * Tracking record: 0x10 plus 0 (file) or 1 (directory); flags; mode (varint); of a file its size (varint) and 16
 * bytes of fingerprint; `made` (varint): how many directories, counted from the state upward, were missing when it
 * was first declared. */

enum { COCO__FS_REC_FILE = 0x10, COCO__FS_REC_DIR = 0x11 };
#define COCO__FS_REC_MAX (2 + 10 + 10 + 16 + 10)

/* The place of a provider's content; self of its handler. */
typedef struct coco__fs_place {
    const char *base; /* directory that is the user's word; NULL: the root target, where keys say it */
    coco_str rel;     /* path of the container below it, "" for the base itself */
    coco_str title;   /* for messages and inspection */
    bool durable;     /* what is written here survives a power cut */
} coco__fs_place;

/* ---- Values and records ---------------------------------------------------------------------------------------- */

/* Reads a declared value: bytes or a text are a file's content; a map with "content" is a file, another one a
 * directory. */
static coco__fs_thing coco__fs_wanted(coco_value v)
{
    coco_value content = v.kind == COCO_MAP ? coco_get(v, "content") : v;
    coco__fs_thing t = { .dir = content.kind == COCO_NULL, .bytes = coco_text_of(content) };

    if (v.kind == COCO_MAP) {
        t.mode = (uint64_t)coco_int_of(coco_get(v, "mode"));
        t.made = (uint64_t)coco_int_of(coco_get(v, "made"));
        t.flags = coco_bool_of(coco_get(v, "durable")) ? COCO__FS_DURABLE : 0;
        t.parents = coco_bool_of(coco_get(v, "parents"));
    }
    t.size = t.bytes.n;
    return t;
}

/* Writes the tracking record and returns its length. */
static size_t coco__fs_record_put(const coco__fs_thing *t, uint8_t out[COCO__FS_REC_MAX])
{
    uint8_t *p = out;

    *p++ = t->dir ? COCO__FS_REC_DIR : COCO__FS_REC_FILE;
    *p++ = (uint8_t)t->flags;
    p = coco__fs_put_varint(p, t->mode);
    if (!t->dir) {
        p = coco__fs_put_varint(p, t->size);
        memcpy(p, t->content, 16);
        p += 16;
    }
    p = coco__fs_put_varint(p, t->made);
    return (size_t)(p - out);
}

/* Reads a record; false if it isn't one of this format. */
static bool coco__fs_record_get(coco_str record, coco__fs_thing *t)
{
    const uint8_t *p = (const uint8_t *)record.p, *end = p + record.n;

    *t = (coco__fs_thing){ 0 };
    if (record.n < 2 || (*p != COCO__FS_REC_FILE && *p != COCO__FS_REC_DIR)) return false;
    t->dir = *p++ == COCO__FS_REC_DIR;
    t->flags = *p++;
    if (!coco__fs_get_varint(&p, end, &t->mode)) return false;
    if (!t->dir) {
        if (!coco__fs_get_varint(&p, end, &t->size) || end - p < 16) return false;
        memcpy(t->content, p, 16);
        p += 16;
    }
    return coco__fs_get_varint(&p, end, &t->made) && p == end;
}

/* Why a name below a base is refused, or NULL. */
static const char *coco__fs_name_refused(coco_str name)
{
    if (name.n == 0) return "is empty";
    if (memchr(name.p, '\0', name.n)) return "has a NUL in it";
    if (name.p[0] == '/') return "is absolute";
    for (size_t i = 0, n; i <= name.n; i += n + 1) {
        const char *part = name.p + i, *slash = memchr(part, '/', name.n - i);
        n = slash ? (size_t)(slash - part) : name.n - i;
        if (n == 0) return "has an empty part";
        if (n == 2 && part[0] == '.' && part[1] == '.') return "leaves the directory";
        if (n == 1 && part[0] == '.') return "has the part \".\"";
        if (n >= 6 && memcmp(part, ".coco-", 6) == 0) return "begins with .coco-, which is for temporary files";
    }
    return NULL;
}

/* ---- Where a key stands ---------------------------------------------------------------------------------------- */

/* Fails unless the key is a name that may stand below the base. */
static coco_status coco__fs_check_name(coco_ctx *cx, const char *base, coco_value key)
{
    coco_str name = coco_text_of(key);
    const char *why = key.kind == COCO_TEXT_KIND ? coco__fs_name_refused(name) : "is not a text";

    if (!why) return COCO_OK;
    return coco_fail(cx, COCO_EREFUSED, "%s: the name \"%.*s\" %s", base, (int)name.n, name.n ? name.p : "", why);
}

/* Splits the whole path of a single file into the directory it is in, as base, and its name. */
static coco_status coco__fs_split(coco_ctx *cx, coco_str path, coco__fs_op *op)
{
    coco_str parent = coco_path_parent(path);

    op->rel = coco_path_name(path);
    COCO_TRY(coco__fs_check_name(cx, parent.n ? coco_copy(cx, parent).p : ".", coco_text_n(op->rel)));
    op->base = parent.n ? coco_copy(cx, parent).p : ".";
    return op->base ? COCO_OK : COCO_ENOMEM;
}

/* Fills in where the state with that key is; everything it points to lives as long as the place or the cx. */
static coco_status coco__fs_locate(coco_ctx *cx, const coco__fs_place *place, coco_value key, bool dir, coco__fs_op *op)
{
    op->rel = (coco_str){ "", 0 };
    if (place->base) {
        COCO_TRY(coco__fs_check_name(cx, place->base, key));
        op->base = place->base;
        op->rel = coco_path_join(cx, place->rel, coco_text_of(key));
        op->keep = place->rel.n;
        op->inside = true;
    } else if (key.kind == COCO_LIST && coco_count(key) == 2) {
        COCO_TRY(coco__fs_identified(cx, coco_at(key, 0), &op->base));
        COCO_TRY(coco__fs_check_name(cx, op->base, coco_at(key, 1)));
        op->rel = coco_copy(cx, coco_text_of(coco_at(key, 1)));
    } else if (key.kind == COCO_TEXT_KIND && !dir) {
        COCO_TRY(coco__fs_split(cx, coco_text_of(key), op));
    } else if (key.kind == COCO_TEXT_KIND || key.kind == COCO_SYMBOL) {
        COCO_TRY(coco__fs_identified(cx, key, &op->base));
    } else {
        return coco_fail(cx, COCO_ETYPE, "a directory or file must be named by a path");
    }
    if (!op->rel.p) return COCO_ENOMEM;
    op->dir = op->rel.n ? coco_path_parent(op->rel).n : 0;
    if (!place->base) op->keep = op->dir;
    return COCO_OK;
}

/* ---- The handler ----------------------------------------------------------------------------------------------- */

/* Whether the records say that just this is there. */
static bool coco__fs_is_there(const coco_change *in, const uint8_t *record, size_t n)
{
    return in->npossible == 1 && !in->may_be_missing && in->possible[0].p && in->possible[0].n == n &&
           memcmp(in->possible[0].p, record, n) == 0;
}

/* Takes from the recorded possibilities what may be there. */
static void coco__fs_possible(const coco_change *in, coco__fs_op *op, uint64_t *made)
{
    coco__fs_thing old;

    for (size_t i = 0; i < in->npossible; i++) {
        if (!in->possible[i].p) op->may_none = true;
        if (!in->possible[i].p) continue;
        if (coco__fs_record_get(in->possible[i], &old)) {
            op->want.flags |= old.flags; /* for its delete */
            if (old.dir) op->may_dir = true;
            else op->may_file = true;
            if (old.made > *made) *made = old.made;
        } else {
            op->may_file = op->may_dir = true;
        }
    }
}

/* "N bytes", at the end of text; by hand, since it is made for each file and mostly for nobody. */
static coco_str coco__fs_bytes_text(char text[32], size_t n)
{
    char *p = text + 26;

    memcpy(p, " bytes", 6);
    do *--p = (char)('0' + n % 10);
    while (n /= 10);
    return (coco_str){ p, (size_t)(text + 32 - p) };
}

/* The action: its own copy of everything. */
static coco_status coco__fs_act(coco_ctx *cx, const coco__fs_place *place, const coco_change *in,
                                const coco__fs_op *plan, coco_decision *out)
{
    coco__fs_op *op = coco_alloc(cx, sizeof *op);

    if (!op) return COCO_ENOMEM;
    *op = *plan;
    COCO_TRY(coco__fs_locate(cx, place, in->key, op->remove ? op->may_dir && !op->may_file : op->want.dir, op));
    if (place->durable) op->want.flags |= COCO__FS_DURABLE;
    if (place->base) op->want.parents = false; /* the container's own action makes what is above it */
    if (!op->remove && !op->want.dir) {
        op->want.bytes = coco_copy(cx, op->want.bytes);
        if (!op->want.bytes.p) return COCO_ENOMEM;
        out->action.text = coco__fs_bytes_text(op->text, op->want.bytes.n);
        out->action.bytes = op->want.bytes.n;
    }
    out->act = true;
    out->action.kind = op->remove ? COCO_DELETE : op->may_file || op->may_dir ? COCO_UPDATE : COCO_INSERT;
    out->action.value = op;
    return COCO_OK;
}

/* What is recorded as just what is wanted stays; all else is an action, which copes with whatever is there. */
static coco_status coco__fs_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    coco__fs_op plan = { .remove = in->desired == NULL };
    uint8_t record[COCO__FS_REC_MAX];
    uint64_t made = 0;
    size_t n;

    coco__fs_possible(in, &plan, &made);
    plan.may_made = made;
    if (plan.remove) {
        if (!plan.may_file && !plan.may_dir) return COCO_OK;
        return coco__fs_act(cx, self, in, &plan, out);
    }
    plan.want = coco__fs_wanted(*in->desired);
    if (plan.want.made < made) plan.want.made = made;
    if (!plan.want.dir) coco_fingerprint_bytes(plan.want.bytes.p, plan.want.bytes.n, plan.want.content);
    n = coco__fs_record_put(&plan.want, record);
    if (coco__fs_is_there(in, record, n)) return COCO_OK;
    out->record = coco_copy(cx, (coco_str){ (const char *)record, n });
    if (!out->record.p) return COCO_ENOMEM;
    /* Where a file becomes a directory nothing is below it yet; where a directory becomes a file, what is below it
     * must be deleted state by state, for the rest of its content is not ours. */
    out->children = plan.want.dir && plan.may_file ? COCO_CHILDREN_DESTROYED : COCO_CHILDREN_KEPT;
    return coco__fs_act(cx, self, in, &plan, out);
}

static void coco__fs_handler(coco__fs_place *place, coco_target_handler *out);

/* The place of a directory's content; from the record alone where it is only to be deleted. */
static coco_status coco__fs_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                                  coco_target_handler *out)
{
    const coco__fs_place *place = self;
    coco__fs_place *child = coco_alloc(cx, sizeof *child);
    coco__fs_thing thing = { 0 };
    coco__fs_op op = { 0 };

    if (!child) return COCO_ENOMEM;
    COCO_TRY(coco__fs_locate(cx, place, key, true, &op));
    if (desired) thing = coco__fs_wanted(*desired);
    else (void)coco__fs_record_get(record, &thing);
    child->base = coco_copy(cx, coco_str_of(op.base)).p;
    child->rel = coco_copy(cx, op.rel);
    child->durable = place->durable || (thing.flags & COCO__FS_DURABLE);
    child->title = place->base ? coco_path_join(cx, place->title, coco_text_of(key)) : coco_copy(cx, coco_text_of(key));
    if (!child->base || !child->rel.p || !child->title.p) return COCO_ENOMEM;
    coco__fs_handler(child, out);
    return COCO_OK;
}

/* Opens the directory of a state for a look; *fd is -1 where it, or one above it, isn't there. */
static coco_status coco__fs_look(coco_ctx *cx, coco__fs_op *op, int *fd)
{
    coco_err err = { 0 };
    coco_status rc = coco__fs_dir_open(op, op->dir, false, fd, &err);

    if (rc == COCO_OK) return rc;
    *fd = -1;
    return rc == COCO_ENOTFOUND ? COCO_OK : coco_fail(cx, rc, "%s", err.msg);
}

/* Looks at what is where the action would go; its mode is 0 where nothing is. Links are followed to a base alone. */
static coco_status coco__fs_stat(coco_ctx *cx, coco__fs_op *op, struct stat *st)
{
    coco__fs_names n;
    int fd, rc, error;

    st->st_mode = 0;
    if (op->rel.n == 0) {
        rc = stat(op->base, st);
        error = errno;
    } else {
        COCO_TRY(coco__fs_look(cx, op, &fd));
        if (fd < 0) return COCO_OK;
        rc = coco__fs_names_of(op, &n) ? fstatat(fd, n.name, st, AT_SYMLINK_NOFOLLOW) : -1;
        error = errno;
        close(fd);
    }
    if (rc == 0) return COCO_OK;
    st->st_mode = 0;
    return error == ENOENT || error == ENOTDIR ? COCO_OK : coco__fs_fail(cx, op->base, op->rel, error);
}

/* A container is a directory. One with another mode than it was given is set right. */
static coco_status coco__fs_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                                   coco_str *shape)
{
    coco__fs_op op = { 0 };
    coco__fs_thing thing;
    uint8_t is[COCO__FS_REC_MAX];
    struct stat st;

    COCO_TRY(coco__fs_locate(cx, self, key, true, &op));
    if (op.rel.n == 0) COCO_TRY(coco__fs_mark_target(cx, op.base, false)); /* a memo may stand for the declaration */
    COCO_TRY(coco__fs_stat(cx, &op, &st));
    *exists = S_ISDIR(st.st_mode);
    if (!*exists || !coco__fs_record_get(record, &thing) || !thing.dir || !thing.mode) return COCO_OK;
    thing.mode = st.st_mode & 07777;
    *shape = coco_copy(cx, (coco_str){ (const char *)is, coco__fs_record_put(&thing, is) });
    return shape->p ? COCO_OK : COCO_ENOMEM;
}

/* Compares the content of the file, which has the recorded size. */
static coco_verdict coco__fs_compare(coco_ctx *cx, coco__fs_op *op, const coco__fs_thing *thing, coco_str *detail)
{
    coco__fs_names n;
    uint8_t fp[16];
    int dir, fd = -1, error;

    if (coco__fs_look(cx, op, &dir) != COCO_OK || dir < 0) return COCO_STATE_UNKNOWN;
    if (coco__fs_names_of(op, &n)) fd = openat(dir, n.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    error = fd < 0 ? errno : coco__fs_hash_fd(fd, fp);
    if (fd >= 0) close(fd);
    close(dir);
    *detail = error ? coco_str_of(strerror(error)) : COCO_STR("content");
    return error ? COCO_STATE_UNKNOWN : memcmp(fp, thing->content, 16) ? COCO_STATE_DIFFERENT : COCO_STATE_OK;
}

static void coco__fs_verify_one(coco_ctx *cx, const coco__fs_place *place, coco_finding *f)
{
    coco__fs_thing thing;
    coco__fs_op op = { 0 };
    struct stat st;

    if (!coco__fs_record_get(f->record, &thing)) return;
    if (coco__fs_locate(cx, place, f->key, thing.dir, &op) != COCO_OK || coco__fs_stat(cx, &op, &st) != COCO_OK) {
        f->detail = coco_str_of(coco_error_message(cx));
        return;
    }
    f->verdict = st.st_mode ? COCO_STATE_DIFFERENT : COCO_STATE_MISSING;
    if (!st.st_mode) return;
    if (thing.dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)) f->detail = COCO_STR("kind");
    else if (thing.mode && (st.st_mode & 07777) != thing.mode) f->detail = COCO_STR("mode");
    else if (thing.dir) f->verdict = COCO_STATE_OK;
    else if ((uint64_t)st.st_size != thing.size) f->detail = COCO_STR("size");
    else f->verdict = coco__fs_compare(cx, &op, &thing, &f->detail);
    if (f->verdict == COCO_STATE_OK) f->detail = (coco_str){ 0 };
}

/* A file is compared by size, content and the mode it was given, a directory by being one and by its mode. */
static coco_status coco__fs_verify(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    for (size_t i = 0; i < n; i++) coco__fs_verify_one(cx, self, &states[i]);
    return coco_error(cx);
}

static void coco__fs_handler(coco__fs_place *place, coco_target_handler *out)
{
    out->name = "localfs";
    out->self = place;
    out->sink = &coco__fs_sink;
    out->reconcile = coco__fs_reconcile;
    out->child = coco__fs_child;
    out->exists = coco__fs_exists;
    out->verify = coco__fs_verify;
    out->title = place->title;
}

static coco_status coco__fs_make_root(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    coco__fs_place *root = coco_alloc(cx, sizeof *root);

    (void)key;
    if (!root) return COCO_ENOMEM;
    root->title = COCO_STR("localfs");
    coco__fs_handler(root, out);
    return COCO_OK;
}

static coco_target_type coco__fs_type = { .name = "localfs", .make = coco__fs_make_root };

COCO_AT_START(coco__fs_target)
{
    coco_target_register(&coco__fs_type);
}
