/* passages.h - a document as passages: the sections of Markdown, the paragraphs of plain text, long ones in parts. */
#ifndef PASSAGES_H
#define PASSAGES_H

#include "cocoindex.h"

struct passage {
    coco_str heading; /* of its section; p NULL: none */
    coco_str text;    /* borrowed from the document; without the heading's line */
    uint32_t line;    /* where its section begins, or the part of it; from 1 */
};

struct passages {
    struct passage *items; /* in cx's memory */
    size_t n;
};

/* Divides text, Markdown by its headings, anything else by blank lines; what is over a thousand bytes by what separates
 * its larger parts. */
coco_status passages_of(coco_ctx *cx, coco_str text, bool markdown, struct passages *out);

#endif
