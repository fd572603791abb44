/* exit.c - linked into the programs of `make cov`: a process that ends by _exit, as the children of check, backup and
 * the command line do, keeps its counts. Found before the C library's, whose _Exit is the same. */
#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);

void _exit(int status)
{
    static volatile int ending; /* what stands in for the calls of a dump may itself end the process */

    if (!ending++) __gcov_dump();
    _Exit(status);
}
