/* helper.c - part of localfs.c: threads of its own, which do some of the system's work of a large listing or batch. */

/* False: there is none to be had. Signals are for the program's threads. */
static bool coco__fs_thread_begin(pthread_t *thread, void *(*body)(void *), void *self)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, body, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

/* Asked for once: the C library reads a file for it. */
static long coco__fs_processors(void)
{
    static atomic_long known;
    long n = atomic_load(&known);

    if (!n) atomic_store(&known, n = sysconf(_SC_NPROCESSORS_ONLN));
    return n;
}
