/* logic.h - fingerprints of C functions' tokens, for logic without a hand-kept version (`cocoindex logic`). */
#ifndef COCO_TOOLS_LOGIC_H
#define COCO_TOOLS_LOGIC_H

#include <stddef.h>
#include <stdio.h>

/* Prints to out the header that registers a fingerprint of each tracked function of the n files. Nothing is printed
 * unless all files could be read. Returns 0, or 2 with one message on err that names the file and line. */
int coco_logic_print(char *const *files, size_t n, FILE *out, FILE *err);

#endif
