/* The text of a .gitignore, up to the first NUL, behind it a path, below which it may stand: it leaves the path out,
 * takes it, or says nothing; what it says of a path is what its last line with anything to say does, and a line more
 * that is blank or a comment changes nothing. */
#define _GNU_SOURCE /* as the part does */
#include "fuzz.h"

#include "../connectors/localfs.c" /* in place of its object */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *nul = memchr(data, 0, n);
    size_t ntext = nul ? (size_t)(nul - data) : n, npath = n - ntext - (nul != NULL);
    char *path = malloc(npath + 1), *text = malloc(ntext + 4);
    bool dir = n % 2;

    PROMISE(path && text);
    if (npath) memcpy(path, nul + 1, npath);
    path[npath] = 0;
    if (ntext) memcpy(text, data, ntext);
    coco_str p = { path, npath };
    int says = coco__fs_ignore_says((coco_str){ text, ntext }, p, dir), last = 0;
    PROMISE(says >= -1 && says <= 1);
    for (size_t at = 0, end; at < ntext; at = end + 1) {
        const char *eol = memchr(text + at, '\n', ntext - at);
        end = eol ? (size_t)(eol - text) : ntext;
        int one = coco__fs_ignore_says((coco_str){ text + at, end - at }, p, dir);
        if (one) last = one;
    }
    PROMISE(last == says);
    memcpy(text + ntext, "\n#\n", 3);
    PROMISE(coco__fs_ignore_says((coco_str){ text, ntext + 3 }, p, dir) == says);
    PROMISE(coco_path_parent(p).n <= npath && coco_path_name(p).n <= npath);
    PROMISE(coco_path_stem(p).n + coco_path_suffix(p).n == coco_path_name(p).n);
    free(path);
    free(text);
    return 0;
}
