/* Store paths. See path.h. */
#include "path.h"

#include <stdio.h>
#include <string.h>

static const uint8_t path_char[256] = {
    ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['0' ... '9'] = 1, ['-'] = 1, ['_'] = 1, ['@'] = 1, ['/'] = 2,
};

bool path_valid(const char *s, size_t len)
{
    uint8_t last = 0;

    if (len == 0 || len >= XENSTORE_ABS_PATH_MAX || s[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = path_char[(uint8_t)s[i]];

        if (c == 0 || (c == 2 && last == 2)) {
            return false;
        }
        last = c;
    }
    return last != 2 || len == 1;
}

bool path_special(const char *s, size_t len)
{
    if (len < 2 || len >= XENSTORE_REL_PATH_MAX || s[0] != '@') {
        return false;
    }
    for (size_t i = 1; i < len; i++) {
        if (path_char[(uint8_t)s[i]] != 1) {
            return false;
        }
    }
    return true;
}

bool path_from_client(const char *s, size_t len, uint32_t domid, char *buf, struct path *out,
                      const char **why)
{
    *why = "the path is empty, too long, or has a character, an empty part or a trailing slash that is not "
           "allowed";
    if (len && s[0] != '/') {
        int n;

        if (len >= XENSTORE_REL_PATH_MAX || s[0] == '@') {
            *why = s[0] == '@' ? "a special event is no node" : "the relative path is longer than 2047 bytes";
            return false;
        }
        n = snprintf(buf, XENSTORE_ABS_PATH_MAX + 1, "/local/domain/%u/", domid);
        memcpy(buf + n, s, len);
        s = buf;
        len += (size_t)n;
    }
    *out = (struct path){s, len};
    return path_valid(s, len);
}

struct path path_parent(struct path p)
{
    while (p.len > 1 && p.s[p.len - 1] != '/') {
        p.len--;
    }
    if (p.len > 1) {
        p.len--;
    }
    return p;
}

struct path path_leaf(struct path p)
{
    size_t i = p.len;

    while (i > 0 && p.s[i - 1] != '/') {
        i--;
    }
    return (struct path){p.s + i, p.len - i};
}

bool path_next(struct path p, size_t *at, struct path *part)
{
    const char *start, *end;

    if (*at + 1 >= p.len) {
        return false;
    }
    start = p.s + *at + 1;
    end = memchr(start, '/', (size_t)(p.s + p.len - start));
    if (!end) {
        end = p.s + p.len;
    }
    *part = (struct path){start, (size_t)(end - start)};
    *at = (size_t)(end - p.s);
    return true;
}
