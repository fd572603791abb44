/* sanitized.h - whether a sanitizer is built in: what takes long by itself does less then. */
#ifndef COCO_TEST_SANITIZED_H
#define COCO_TEST_SANITIZED_H

#if defined __has_feature
#define SANITIZED_BY(x) __has_feature(x)
#else
#define SANITIZED_BY(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || SANITIZED_BY(address_sanitizer) || \
    SANITIZED_BY(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#endif
