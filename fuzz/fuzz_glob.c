/* Globs of localfs: up to the first newline the glob, behind it a path. A path without special characters is its own
 * glob. */
#include "fuzz.h"

#include "../connectors/localfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *line = memchr(data, '\n', n);
    size_t nglob = line ? (size_t)(line - data) : n;
    char *glob = malloc(nglob + 1);
    coco_str path = { line ? (const char *)line + 1 : "", line ? n - nglob - 1 : 0 };

    PROMISE(glob);
    if (nglob) memcpy(glob, data, nglob);
    glob[nglob] = 0;
    coco_glob_match(glob, path);
    if (strlen(glob) == nglob && nglob <= 1000 && !strpbrk(glob, "*?[]{}\\,!\n"))
        PROMISE(coco_glob_match(glob, (coco_str){ glob, nglob }));
    free(glob);
    return 0;
}
