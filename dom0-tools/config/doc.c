/* Values and documents: making, freeing, comparing, complaining. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "doc.h"

#define FILE_LIMIT (4UL << 20)

struct value *value_new(enum value_type type, unsigned int line)
{
    struct value *v = calloc(1, sizeof(*v));

    if (v) {
        v->type = type;
        v->line = line;
    }
    return v;
}

struct value *value_string(const char *text, unsigned int line)
{
    struct value *v = value_new(VALUE_STRING, line);

    if (v)
        v->text = strdup(text);
    if (v && !v->text) {
        free(v);
        v = NULL;
    }
    return v;
}

struct value *value_int(int64_t number, unsigned int line)
{
    struct value *v = value_new(VALUE_INT, line);

    if (v)
        v->number = number;
    return v;
}

struct value *value_bool(bool on, unsigned int line)
{
    struct value *v = value_new(VALUE_BOOL, line);

    if (v)
        v->number = on;
    return v;
}

void value_free(struct value *value)
{
    if (!value)
        return;
    for (unsigned int i = 0; i < value->count; i++) {
        value_free(value->items[i]);
        if (value->names)
            free(value->names[i]);
    }
    free(value->items);
    free(value->names);
    free(value->text);
    free(value);
}

struct value *value_copy(const struct value *value)
{
    struct value *copy = value_new(value->type, value->line);
    bool good = copy;

    if (good) {
        copy->number = value->number;
        copy->text = value->text ? strdup(value->text) : NULL;
        good = !value->text || copy->text;
    }
    for (unsigned int i = 0; good && i < value->count; i++) {
        struct value *item = value_copy(value->items[i]);

        good = item && (value->names ? map_set(copy, value->names[i], item) : value_append(copy, item));
    }
    if (good)
        return copy;
    value_free(copy);
    return NULL;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (!a || !b)
        return a == b;
    if (a->type != b->type || a->count != b->count)
        return false;
    if (a->type == VALUE_INT || a->type == VALUE_BOOL)
        return a->number == b->number;
    if (a->type == VALUE_STRING)
        return strcmp(a->text, b->text) == 0;
    for (unsigned int i = 0; i < a->count; i++) {
        const struct value *other = a->type == VALUE_MAP ? map_get(b, a->names[i]) : b->items[i];

        if (!value_equal(a->items[i], other))
            return false;
    }
    return true;
}

static bool room_for_one(struct value *v, bool named)
{
    struct value **items = reallocarray(v->items, v->count + 1, sizeof(*items));
    char **names;

    if (!items)
        return false;
    v->items = items;
    if (!named)
        return true;
    names = reallocarray(v->names, v->count + 1, sizeof(*names));
    if (!names)
        return false;
    v->names = names;
    return true;
}

bool value_append(struct value *list, struct value *item)
{
    if (!item || !room_for_one(list, false)) {
        value_free(item);
        return false;
    }
    list->items[list->count++] = item;
    return true;
}

bool map_set(struct value *map, const char *name, struct value *item)
{
    if (!item)
        return false;
    for (unsigned int i = 0; i < map->count; i++)
        if (strcmp(map->names[i], name) == 0) {
            value_free(map->items[i]);
            map->items[i] = item;
            return true;
        }
    if (!room_for_one(map, true) || !(map->names[map->count] = strdup(name))) {
        value_free(item);
        return false;
    }
    map->items[map->count++] = item;
    return true;
}

struct value *map_get(const struct value *map, const char *name)
{
    for (unsigned int i = 0; map && map->type == VALUE_MAP && i < map->count; i++)
        if (strcmp(map->names[i], name) == 0)
            return map->items[i];
    return NULL;
}

void map_remove(struct value *map, const char *name)
{
    for (unsigned int i = 0; i < map->count; i++) {
        if (strcmp(map->names[i], name) != 0)
            continue;
        value_free(map->items[i]);
        free(map->names[i]);
        map->count--;
        memmove(map->items + i, map->items + i + 1, (map->count - i) * sizeof(*map->items));
        memmove(map->names + i, map->names + i + 1, (map->count - i) * sizeof(*map->names));
        return;
    }
}

bool map_set_string(struct value *map, const char *name, const char *text, unsigned int line)
{
    return map_set(map, name, value_string(text, line));
}

bool map_set_int(struct value *map, const char *name, int64_t number, unsigned int line)
{
    return map_set(map, name, value_int(number, line));
}

bool map_set_bool(struct value *map, const char *name, bool on, unsigned int line)
{
    return map_set(map, name, value_bool(on, line));
}

const char *value_text(const struct value *value, char buffer[24])
{
    if (!value)
        return NULL;
    if (value->type == VALUE_STRING)
        return value->text;
    if (value->type != VALUE_INT && value->type != VALUE_BOOL)
        return NULL;
    snprintf(buffer, 24, "%ld", value->number);
    return buffer;
}

struct doc *doc_new(const char *file)
{
    struct doc *doc = calloc(1, sizeof(*doc));

    if (!doc)
        return NULL;
    doc->file = strdup(file);
    doc->root = value_new(VALUE_MAP, 0);
    if (doc->file && doc->root)
        return doc;
    doc_free(doc);
    return NULL;
}

void doc_free(struct doc *doc)
{
    if (!doc)
        return;
    for (unsigned int i = 0; i < doc->diag_count; i++)
        free(doc->diags[i].text);
    free(doc->diags);
    value_free(doc->root);
    free(doc->file);
    free(doc);
}

void doc_say(struct doc *doc, enum severity severity, unsigned int line, const char *key, const char *format,
             ...)
{
    struct diag *diags = reallocarray(doc->diags, doc->diag_count + 1, sizeof(*diags));
    char *message = NULL, *text = NULL, where[16] = "";
    unsigned int at;
    va_list args;

    doc->error_count += severity == DIAG_ERROR;
    if (!diags)
        return;
    doc->diags = diags;
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    va_end(args);
    if (line)
        snprintf(where, sizeof(where), ":%u", line);
    if (message &&
        asprintf(&text, "%s%s: %s%s%s", doc->file, where, key ? key : "", key ? ": " : "", message) < 0)
        text = NULL;
    free(message);
    if (!text)
        return;
    /* In the order of the file; what has no line comes last. */
    at = doc->diag_count++;
    for (; at > 0 && diags[at - 1].line - 1 > line - 1; at--)
        diags[at] = diags[at - 1];
    diags[at] = (struct diag){.severity = severity, .line = line, .text = text};
}

enum doc_format guess_format(const char *text, size_t size)
{
    size_t at = 0;

    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        at = 3;
    while (at < size && strchr(" \t\r\n", text[at]))
        at++;
    if (at < size && text[at] == '<')
        return DOC_XML;
    if (at < size && text[at] == '{')
        return DOC_JSON;
    return DOC_XLCFG;
}

struct doc *doc_read_text(const char *name, const char *text, size_t size)
{
    static void (*const readers[])(struct doc *, const char *, size_t) = {
        [DOC_XLCFG] = read_xlcfg, [DOC_XML] = read_xml, [DOC_JSON] = read_json};
    struct doc *doc = doc_new(name);

    if (doc)
        readers[guess_format(text, size)](doc, text, size);
    return doc;
}

struct doc *doc_read_file(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = malloc(FILE_LIMIT);
    struct doc *doc = NULL;
    size_t size;

    if (file && text) {
        size = fread(text, 1, FILE_LIMIT, file);
        if (ferror(file))
            errno = errno ? errno : EIO;
        else if (size == FILE_LIMIT)
            errno = EFBIG;
        else
            doc = doc_read_text(file == stdin ? "(standard input)" : path, text, size);
    }
    if (file && file != stdin) {
        int error = errno;

        fclose(file);
        errno = error;
    }
    free(text);
    return doc;
}
