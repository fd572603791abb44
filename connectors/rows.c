/* rows.c - tables and rows for the tabular connectors: the one file to compile. It includes its parts in the order in
 * which they build on each other; every name they share is static and begins coco__rows_.
 *
 * Calls cocoindex.h and the C library, nothing else. Memory comes from cx alone, so none is freed here. */
#include "rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rows/text.c"   /* UTF-8, identifiers, uuids, times, decimals, half floats */
#include "rows/schema.c" /* schemas, and the record of a table's declaration */
#include "rows/diff.c"   /* from one declaration to another */
#include "rows/cell.c"   /* columns of structs and value maps as cells; encoded rows */
#include "rows/fingerprints.c" /* of several rows at once */
#include "rows/table.c"  /* declaring rows, reconciling them */
#include "rows/row.c"    /* rows read from a source */
