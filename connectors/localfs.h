/* localfs.h - local files as a source and as a target, for cocoindex.h. Needs POSIX and nothing else.
 *
 * A whole program: every Markdown file below docs/ is copied to the same place below site/, in upper case. Files that
 * change are copied again, files that go are deleted there, the rest is neither read nor written.
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *     #include <ctype.h>
 *
 *     COCO_FN(shout, (coco_file *, file, coco_dir *, site), .memo = true)
 *     {
 *         coco_str text;
 *         char *up;
 *
 *         COCO_TRY(coco_file_read_text(cx, file, &text));
 *         if (!(up = coco_alloc(cx, text.n + 1))) return COCO_ENOMEM;
 *         for (size_t i = 0; i < text.n; i++) up[i] = (char)toupper((unsigned char)text.p[i]);
 *         return coco_dir_declare_file(cx, site, coco_path_with_suffix(cx, file, ".txt"), (coco_str){ up, text.n });
 *     }
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_dir *site;
 *
 *         COCO_TRY(coco_mount_dir(cx, coco_text("site"), &site));
 *         return coco_mount_each(cx, COCO_AUTO, &shout,
 *                                coco_walk_dir(cx, coco_text("docs"), &(coco_walk_opts){ .include = "**.md" }),
 *                                COCO_ARGS(coco_dir_value(site)));
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return coco_main(argc, argv, &(coco_app_config){ .name = "shout", .main = &app_main }, 1);
 *     }
 *
 * Build: cc shout.c cocoindex_lmdb.c connectors/localfs.c -llmdb -pthread (localfs.c includes its parts in localfs/).
 *
 * Base directories. Wherever a base is asked for: a text is a path, taken from the working directory, and is itself
 * the identity of what is below; coco_context_ref(&KEY) stands for the path that the context key provides, and then
 * the key's name is the identity: the directory may move and nothing is done again.
 *
 * Globs match the path below the base, with `/` on every system:
 *     *        any characters within one name (a leading dot is no exception)
 *     **       any characters, also `/`: **.md is any Markdown file at any depth. As a whole name before a slash: any
 *              number of directories, also none
 *     ?        one character       [a-z] [!a-z]   one character of a set or outside it (^ is the same as !)
 *     {a,b}    either; nests       \x             x itself
 * Several globs are given one a line, as in .gitignore: "**.md\n**.txt". At most 1,000 bytes a glob.
 *
 * Limits. Only regular files are given. A name that is not UTF-8 is an unreadable item. Reading a file whole stops at
 * coco_walk_opts.max_read (1 GiB); ranges and fingerprints have no limit. One directory's names are held in memory at
 * a time for each level on the way down, and one file descriptor. The base of a source may not move while it is
 * listed.
 *
 * Live. On Linux each directory that is listed is watched (inotify: one watch a directory, see
 * /proc/sys/fs/inotify/max_user_watches); elsewhere, where watches run out, and on network file systems, all is listed
 * anew every 2 s, with a notice. The same globs, ignore files, links and left-out directories count as in a listing. A
 * directory that moves, an ignore file that changes and a queue that overflows have all listed anew. A base that is
 * removed, replaced or unmounted is a reported failure: what is recorded stays until it is back. Of a file behind a
 * link, its own changes and its replacement are seen, not those of links in between; changes by mmap, through another
 * hard link outside, or by other machines are seen when all is listed anew. In a listing a file may be given while it
 * is still being written; it is given again when it is closed. coco_sync puts a file .coco-sync-… into the base for a
 * moment.
 *
 * Freshness. A memo that depends on a file is valid without reading while mtime, ctime, size and inode are what they
 * were; else the content decides. A file changed within 10 ms of the scan that saw it (2 s where stamps are whole
 * seconds) is read once more by the next update.
 *
 * A coco_file belongs to one thread at a time; it lives as long as the component that got it. */
#ifndef COCO_LOCALFS_H
#define COCO_LOCALFS_H

#include "../cocoindex.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coco_file coco_file; /* a file below a base: an item of a walk, or one opened by path */
typedef struct coco_dir coco_dir;   /* a directory to declare files in */

extern coco_class coco_file_class; /* memo key: base and path; memo state: the stamp and the content */
extern coco_class coco_dir_class;  /* memo key: that of its target */

/* ---- Source ---------------------------------------------------------------------------------------------------- */

typedef enum coco_symlinks {
    COCO_SYMLINKS_FOLLOW, /* a link to a directory above itself is an unreadable item */
    COCO_SYMLINKS_SKIP    /* as if they were not there */
} coco_symlinks;

/* All zero is the default. The strings are copied. */
typedef struct coco_walk_opts {
    const char *include;    /* globs of the files to give, one a line; NULL: all */
    const char *exclude;    /* globs of files and directories to leave out, one a line, the last that matches decides;
                               `!` before one takes back in. A directory left out isn't entered, unless a glob with
                               `!` can match below it. A glob with `/` at its end is for directories alone */
    coco_symlinks symlinks; /* default: followed */
    bool gitignore;         /* leave out what .gitignore files at and below the base say, and .git */
    bool live;              /* watch for changes in live mode; what follows is for that */
    unsigned rescan_ms;     /* list all anew this often; 0: one hour */
    unsigned quiet_ms;      /* a file that is being written is given when it is closed, or when this long nothing was
                               written; 0: 500 */
    unsigned close_ms;      /* a file that was closed or renamed into place is given this much later; 0: at once */
    unsigned poll_ms;       /* don't watch, list all anew this often; 0: watch, or where the system has no watches (any
                               more) list all anew every 2 s */
    size_t max_read;        /* bytes that coco_file_read takes; 0: 1 GiB */
    const char *title;      /* NULL: the path as given, or the context key's name */
} coco_walk_opts;

/* The files below base, at any depth, as items for coco_mount_each: the key is the relative path with `/`, a text;
 * the value a coco_file. In byte order of the paths, as a stream. Never gives `.coco-*`, the temporary names of the
 * target. A file or directory that can't be listed or whose name isn't UTF-8 is an unreadable item: what is recorded
 * there stays, the rest goes on. A directory that the same app has as a target is left out, with a notice, if it is
 * mounted before; the base itself never is. opts may be NULL. What is wrong is the first answer of the source, so that
 * whatever uses it fails: COCO_ENOTFOUND, COCO_EACCESS or COCO_EIO for the base directory, COCO_EINVAL for a malformed
 * glob, COCO_ETYPE where base is neither a text nor a context key. NULL: out of memory (the error is kept).
 * A file is looked at when it is given, or up to a tenth of a second before: in a listing of more than a thousand, on
 * more than one processor, a thread of its own, without signals, calls fstatat for some, lists the directory that comes
 * next where nothing is watched, and as long as nearly all files are read, reads those under 8 KiB for
 * coco_mount_each, which coco_file_read then gives the first time; it ends with the listing. So a function that wants a
 * file as it is after something it did itself (a lock, say) reads it twice; and record locks (fcntl) that the program
 * holds on a file below base may be lost, as by any reading of it. */
coco_source *coco_walk_dir(coco_ctx *cx, coco_value base, const coco_walk_opts *opts);

/* Opens a file by its path below base (an absolute path stands for itself) as an input of the running call: a change
 * of it invalidates the memo like a change of an argument. A missing file is no error: coco_file_exists is false, and
 * its appearance is a change. Errors: COCO_EREFUSED (empty path, NUL), COCO_ETYPE (base), COCO_EUNREAD (not a regular
 * file), COCO_EACCESS. */
coco_status coco_file_open(coco_ctx *cx, coco_value base, coco_str path, coco_file **file);

/* What the listing said of the file; path borrows from it and is NUL-terminated. */
coco_str coco_file_path(const coco_file *file);
bool coco_file_exists(coco_file *file);
uint64_t coco_file_size(coco_file *file);
int64_t coco_file_mtime(coco_file *file); /* ns since 1970 */
coco_value coco_file_value(coco_file *file);

/* Reads the content into cx's memory, NUL-terminated behind its bytes: all of it; n bytes from offset (fewer at the
 * end); or as UTF-8 text, decoded by its byte order mark (UTF-8, UTF-16, UTF-32) and as UTF-8 where it has none, with
 * U+FFFD for what can't be decoded and without the mark. The _as form takes the encoding's name, in any case: utf-8,
 * utf-16, utf-16le, utf-16be, utf-32, utf-32le, utf-32be, latin-1 (iso-8859-1), windows-1252. Errors: COCO_ENOTFOUND
 * (gone), COCO_EACCESS, COCO_EIO, COCO_EUNREAD (over max_read), COCO_EINVAL (encoding), COCO_ENOMEM. */
coco_status coco_file_read(coco_ctx *cx, coco_file *file, coco_str *content);
coco_status coco_file_read_range(coco_ctx *cx, coco_file *file, uint64_t offset, size_t n, coco_str *content);
coco_status coco_file_read_text(coco_ctx *cx, coco_file *file, coco_str *text);
coco_status coco_file_read_text_as(coco_ctx *cx, coco_file *file, const char *encoding, coco_str *text);

/* The fingerprint of the content, read in pieces: that of coco_fingerprint_bytes. Errors: as above. */
coco_status coco_file_fingerprint(coco_ctx *cx, coco_file *file, uint8_t out[16]);

/* ---- Paths and globs ------------------------------------------------------------------------------------------- */

/* Parts of a path with `/`: "a/b.tar.gz" has parent "a", name "b.tar.gz", stem "b.tar" and suffix ".gz". A leading
 * dot begins no suffix. They borrow. Thread-safe: yes. */
coco_str coco_path_parent(coco_str path); /* "" where there is no slash; "/" of what is below the root */
coco_str coco_path_name(coco_str path);
coco_str coco_path_stem(coco_str path);
coco_str coco_path_suffix(coco_str path);

/* a/b, or b alone where a is empty or b is absolute; the file's path with another suffix ("" takes it away). In cx's
 * memory, NUL-terminated; empty where memory ran out (the error is kept). */
coco_str coco_path_join(coco_ctx *cx, coco_str a, coco_str b);
coco_str coco_path_with_suffix(coco_ctx *cx, const coco_file *file, const char *suffix);

/* Whether the glob matches the whole path. A malformed glob matches nothing. Thread-safe: yes. */
bool coco_glob_match(const char *glob, coco_str path);

/* ---- Target ---------------------------------------------------------------------------------------------------- */

/* Files are written under a temporary name (`.coco-` and 16 hex digits) in their directory and renamed: a reader
 * never sees half a file. A file whose content and mode are what was written last isn't touched. What is no longer
 * declared is deleted: the file; directories between it and the mounted one, once they are empty; a mounted or
 * declared directory, if it didn't exist when it was first declared, and is empty. Files that the target didn't write
 * stay, and so does the directory around them; only a declared name replaces what has that name: a file or a symbolic
 * link, an empty directory. A name may have slashes; directories on the way are made. Don't also declare one of those
 * with coco_dir_declare_dir: it would be removed when the file was its last. A name that is absolute, empty, has an
 * empty part, `.`, `..`, a NUL or `.coco-` at the start of a part is COCO_EREFUSED, and so is one that leads through
 * a symbolic link below the base (when it is written). The base itself may be one. Of 64 files or more in a row a
 * thread of its own, without signals, writes some, where there is more than one processor.
 *
 * Behind the back of the app: a directory of the target that was deleted is made again and refilled by a plain update,
 * and one that was given a mode gets it back. Of files, verify compares kind, the mode if one was given, size and
 * content; an update looks at none, so a file deleted or edited in a directory that is still there stays so until its
 * source changes. */

typedef struct coco_dir_opts {
    const char *title;  /* in TITLE:"name"; NULL: the path as given, or the context key's name */
    unsigned mode;      /* permission bits, exactly these; 0: 0777 less the umask */
    bool no_parents;    /* the directory it is in must exist; default: made */
    bool durable;       /* fsync each file below and its directory, also when it goes: survives a power cut */
    bool user_managed;  /* never made, never removed; its content is still kept in sync */
} coco_dir_opts;

typedef struct coco_file_opts {
    unsigned mode;       /* permission bits, exactly these; 0: 0666 less the umask */
    bool durable;        /* fsync the file and its directory, also where the directory's options don't say so */
    bool create_parents; /* coco_declare_file: make the directories it is in; default: they must exist */
    coco_value base;     /* coco_declare_file: what path is relative to; null: the working directory */
} coco_file_opts;

/* Declares base as a directory of this app, in a component of its own, and makes it: usable everywhere when it
 * returns. The _with forms take options, which may be NULL. Errors: COCO_EDUP (mounted twice), COCO_ENOTFOUND,
 * COCO_EACCESS, COCO_EFULL, COCO_EFAIL (a file is in the way), COCO_EINVAL (below a directory that coco_walk_dir has
 * listed in this update: mount it before, so that its content isn't taken for input). */
coco_status coco_mount_dir(coco_ctx *cx, coco_value base, coco_dir **dir);
coco_status coco_mount_dir_with(coco_ctx *cx, coco_value base, const coco_dir_opts *opts, coco_dir **dir);

/* Declares base as a directory of the running component, usable in it at once. */
coco_status coco_declare_dir(coco_ctx *cx, coco_value base, const coco_dir_opts *opts, coco_dir **dir);

/* Declares that dir holds the file name with the content, or the directory name. Applied when the component is
 * submitted. Errors: COCO_EDUP (declared twice), COCO_EREFUSED (name). The component fails where the file can't be
 * written: COCO_EACCESS, COCO_EFULL, COCO_EFAIL (a directory that isn't empty, or a file, is in the way), COCO_EIO. */
coco_status coco_dir_declare_file(coco_ctx *cx, coco_dir *dir, coco_str name, coco_str content);
coco_status coco_dir_declare_file_with(coco_ctx *cx, coco_dir *dir, coco_str name, coco_str content,
                                       const coco_file_opts *opts);
coco_status coco_dir_declare_dir(coco_ctx *cx, coco_dir *dir, coco_str name, coco_dir **child);
coco_status coco_dir_declare_dir_with(coco_ctx *cx, coco_dir *dir, coco_str name, const coco_dir_opts *opts,
                                      coco_dir **child);

/* Declares one file outside any mounted directory; path is a text. opts may be NULL. */
coco_status coco_declare_file(coco_ctx *cx, coco_value path, coco_str content, const coco_file_opts *opts);

coco_value coco_dir_value(coco_dir *dir); /* as an argument of a function */

#ifdef __cplusplus
}
#endif
#endif /* COCO_LOCALFS_H */
