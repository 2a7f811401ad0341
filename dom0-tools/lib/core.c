/*
 * The handle: errors, injected faults, memory.
 *
 * The error chain is kept innermost first, so that adding an outer message never moves anything; when it is
 * full the outermost message is replaced, since the innermost is the one that says why.
 */
#include "internal.h"

struct bh *bh_open_with(const struct bh_os *os, void *os_private)
{
    struct bh *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->os = os;
    h->os_private = os_private;
    h->privcmd = -1;
    h->hypercall_dev = -1;
    h->store.fd = -1;
    h->store.events_tail = &h->store.events;
    h->is_bulkhead = -1;
    return h;
}

struct bh *bh_open(void)
{
    return bh_open_with(&bh_os_linux, NULL);
}

const char *bh_run_dir(void)
{
    const char *dir = getenv("BULKHEAD_RUN_DIR");

    return dir && *dir ? dir : "/run/bulkhead";
}

static void add_message(struct bh *h, const char *format, va_list args)
{
    unsigned int at = h->error_count < ERROR_DEPTH ? h->error_count++ : ERROR_DEPTH - 1;

    vsnprintf(h->error_text[at], ERROR_TEXT, format, args);
}

int bh_fail(struct bh *h, int code, const char *format, ...)
{
    va_list args;

    h->error = code > 0 ? code : EIO;
    h->error_count = 0;
    va_start(args, format);
    add_message(h, format, args);
    va_end(args);
    return -h->error;
}

int bh_because(struct bh *h, const char *format, ...)
{
    va_list args;

    if (!h->error)
        h->error = EIO;
    va_start(args, format);
    add_message(h, format, args);
    va_end(args);
    return -h->error;
}

const char *bh_error_message(const struct bh *h, unsigned int index)
{
    return index < h->error_count ? h->error_text[h->error_count - 1 - index] : NULL;
}

unsigned int bh_error_count(const struct bh *h)
{
    return h->error_count;
}

int bh_error_code(const struct bh *h)
{
    return h->error;
}

void bh_error_clear(struct bh *h)
{
    h->error = 0;
    h->error_count = 0;
}

struct error_copy {
    int error;
    unsigned int count;
    char text[ERROR_DEPTH][ERROR_TEXT];
};

struct error_copy *error_save(const struct bh *h)
{
    struct error_copy *copy = malloc(sizeof(*copy));

    if (copy) {
        copy->error = h->error;
        copy->count = h->error_count;
        memcpy(copy->text, h->error_text, sizeof(copy->text));
    }
    return copy;
}

void error_restore(struct bh *h, struct error_copy *copy)
{
    if (!copy)
        return;
    h->error = copy->error;
    h->error_count = copy->count;
    memcpy(h->error_text, copy->text, sizeof(copy->text));
    free(copy);
}

void bh_inject(struct bh *h, unsigned long nth)
{
    h->inject_left = nth;
    h->injected[0] = 0;
}

const char *bh_injected_step(const struct bh *h)
{
    return h->injected[0] ? h->injected : NULL;
}

bool bh_step(struct bh *h, const char *format, ...)
{
    va_list args;

    if (h->inject_left == 0 || --h->inject_left > 0)
        return false;
    va_start(args, format);
    vsnprintf(h->injected, sizeof(h->injected), format, args);
    va_end(args);
    bh_fail(h, EIO, "%s: made to fail by a test", h->injected);
    return true;
}

void *bh_alloc(struct bh *h, size_t count, size_t size, const char *what)
{
    void *memory;

    if (bh_step(h, "memory for %s", what))
        return NULL;
    memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        bh_fail(h, ENOMEM, "no memory for %s: %zu times %zu bytes", what, count, size);
    return memory;
}

char *bh_strdup(struct bh *h, const char *text, const char *what)
{
    size_t length = strlen(text) + 1;
    char *copy = bh_alloc(h, 1, length, what);

    if (copy)
        memcpy(copy, text, length);
    return copy;
}

char *bh_sprintf(struct bh *h, const char *format, ...)
{
    va_list args;
    char *text = NULL;

    if (bh_step(h, "memory for a text"))
        return NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        bh_fail(h, ENOMEM, "no memory for a text");
    }
    va_end(args);
    return text;
}

size_t bh_hbuf_mark(const struct bh *h)
{
    return h->hbuf_used;
}

void *bh_hbuf(struct bh *h, size_t bytes)
{
    size_t at = (h->hbuf_used + 63) & ~(size_t)63;

    if (bh_step(h, "hypercall memory"))
        return NULL;
    if (!h->hbuf)
        h->hbuf = h->os->alloc_pages(h, HBUF_PAGES);
    if (!h->hbuf) {
        bh_fail(h, errno, "no memory for hypercall arguments: %s", strerror(errno));
        return NULL;
    }
    if (bytes > HBUF_PAGES * PAGE_BYTES - at) {
        bh_fail(h, E2BIG, "a hypercall argument of %zu bytes does not fit the buffer of %lu (%zu used)",
                bytes, HBUF_PAGES * PAGE_BYTES, at);
        return NULL;
    }
    h->hbuf_used = at + bytes;
    memset(h->hbuf + at, 0, bytes);
    return h->hbuf + at;
}

void bh_hbuf_release(struct bh *h, size_t mark)
{
    h->hbuf_used = mark;
}

void bh_uuid_print(const uint8_t uuid[16], char out[37])
{
    static const uint8_t dash_before[16] = {[4] = 1, [6] = 1, [8] = 1, [10] = 1};

    for (unsigned int i = 0; i < 16; i++)
        out += sprintf(out, "%s%02x", dash_before[i] ? "-" : "", uuid[i]);
}

bool bh_uuid_parse(const char *text, uint8_t uuid[16])
{
    unsigned int digits = 0;

    for (; *text; text++) {
        int value;

        if (*text == '-' && digits % 2 == 0)
            continue;
        if (*text >= '0' && *text <= '9')
            value = *text - '0';
        else if ((*text | 0x20) >= 'a' && (*text | 0x20) <= 'f')
            value = (*text | 0x20) - 'a' + 10;
        else
            return false;
        if (digits == 32)
            return false;
        uuid[digits / 2] = digits % 2 ? uuid[digits / 2] | value : value << 4;
        digits++;
    }
    return digits == 32;
}
