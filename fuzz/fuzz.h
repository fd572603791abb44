/* fuzz.h - what the fuzzers share. Each fuzz_NAME.c is a libFuzzer target of one decoder or parser: any input may be
 * refused, none may crash, leak or run on; what is accepted must come back the same. `make fuzz` runs them; corpus/NAME
 * and NAME.dict are where they begin. */
#ifndef COCO_FUZZ_H
#define COCO_FUZZ_H

#include "../engine/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A promise of the code under test: unlike assert it is kept in every build. */
#define PROMISE(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #what); \
            abort(); \
        } \
    } while (0)

static const coco__mem fuzz_mem; /* libc's */

#endif
