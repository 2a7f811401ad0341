/*
 * JSON: reading (yajl, event by event, so that every value knows its line), printing, and the schema.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>
#include "doc.h"

#define DEPTH_MAX 16

struct reader {
    struct doc *doc;
    yajl_handle handle;
    const char *text;
    size_t counted; /* bytes whose lines are in `line` */
    unsigned int line;
    struct value *open[DEPTH_MAX];
    char *names[DEPTH_MAX]; /* the name that waits for its value, by level */
    unsigned int depth;
    bool failed;
};

static unsigned int current_line(struct reader *r)
{
    size_t at = yajl_get_bytes_consumed(r->handle);

    for (; r->counted < at; r->counted++)
        r->line += r->text[r->counted] == '\n';
    return r->line;
}

static int fail(struct reader *r, const char *why)
{
    doc_say(r->doc, DIAG_ERROR, current_line(r), NULL, "%s", why);
    r->failed = true;
    return 0;
}

/* Puts a finished value where it belongs; a list or map stays open until it ends. */
static int place(struct reader *r, struct value *v)
{
    struct value *parent = r->depth ? r->open[r->depth - 1] : NULL;
    char *name = r->depth ? r->names[r->depth - 1] : NULL;
    bool good;

    if (!v)
        return fail(r, "no memory");
    if (!parent)
        return fail(r, "a configuration is an object: { \"name\": ..., ... }");
    if (parent->type == VALUE_LIST)
        return value_append(parent, v) ? 1 : fail(r, "no memory");
    if (map_get(parent, name))
        doc_say(r->doc, DIAG_ERROR, v->line, name, "is given twice");
    good = map_set(parent, name, v);
    free(name);
    r->names[r->depth - 1] = NULL;
    return good ? 1 : fail(r, "no memory");
}

static int on_null(void *context)
{
    struct reader *r = context;

    return place(r, value_new(VALUE_NULL, current_line(r)));
}

static int on_boolean(void *context, int on)
{
    struct reader *r = context;

    return place(r, value_bool(on, current_line(r)));
}

static int on_integer(void *context, long long number)
{
    struct reader *r = context;

    return place(r, value_int(number, current_line(r)));
}

static int on_double(void *context, double number)
{
    return fail(context, "numbers with fractions have no meaning in a configuration");
}

static char *copy_text(const unsigned char *text, size_t length)
{
    return memchr(text, 0, length) ? NULL : strndup((const char *)text, length);
}

static int on_string(void *context, const unsigned char *text, size_t length)
{
    struct reader *r = context;
    struct value *v = value_new(VALUE_STRING, current_line(r));

    if (v)
        v->text = copy_text(text, length);
    if (v && v->text)
        return place(r, v);
    value_free(v);
    return fail(r, "a string holds a zero byte");
}

static int open_value(struct reader *r, enum value_type type)
{
    struct value *v;

    if (r->depth == DEPTH_MAX)
        return fail(r, "nested too deep");
    if (r->depth == 0) {
        if (type != VALUE_MAP)
            return fail(r, "a configuration is an object: { \"name\": ..., ... }");
        v = r->doc->root;
    } else {
        v = value_new(type, current_line(r));
        if (!place(r, v))
            return 0;
    }
    r->open[r->depth++] = v;
    return 1;
}

static int on_start_map(void *context)
{
    return open_value(context, VALUE_MAP);
}

static int on_key(void *context, const unsigned char *text, size_t length)
{
    struct reader *r = context;

    free(r->names[r->depth - 1]);
    r->names[r->depth - 1] = copy_text(text, length);
    return r->names[r->depth - 1] ? 1 : fail(r, "a key holds a zero byte");
}

static int on_start_array(void *context)
{
    return open_value(context, VALUE_LIST);
}

static int on_end(void *context)
{
    struct reader *r = context;

    r->depth--;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_integer = on_integer,
    .yajl_double = on_double,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

void read_json(struct doc *doc, const char *text, size_t size)
{
    struct reader r = {.doc = doc, .text = text, .line = 1};
    yajl_status status;

    r.handle = yajl_alloc(&callbacks, NULL, &r);
    if (!r.handle) {
        doc_say(doc, DIAG_ERROR, 0, NULL, "no memory");
        return;
    }
    yajl_config(r.handle, yajl_allow_comments, 1);
    status = yajl_parse(r.handle, (const unsigned char *)text, size);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(r.handle);
    if (status != yajl_status_ok && !r.failed) {
        unsigned char *why = yajl_get_error(r.handle, 0, (const unsigned char *)text, size);

        doc_say(doc, DIAG_ERROR, current_line(&r), NULL, "not JSON: %.*s", (int)strcspn((char *)why, "\n"),
                why);
        yajl_free_error(r.handle, why);
    }
    for (unsigned int i = 0; i < DEPTH_MAX; i++)
        free(r.names[i]);
    yajl_free(r.handle);
}

/* ---- printing ---- */

static void gen_string(yajl_gen gen, const char *text)
{
    yajl_gen_string(gen, (const unsigned char *)text, strlen(text));
}

static void gen_value(yajl_gen gen, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        yajl_gen_null(gen);
        break;
    case VALUE_BOOL:
        yajl_gen_bool(gen, v->number != 0);
        break;
    case VALUE_INT:
        yajl_gen_integer(gen, v->number);
        break;
    case VALUE_STRING:
        gen_string(gen, v->text);
        break;
    case VALUE_LIST:
        yajl_gen_array_open(gen);
        for (unsigned int i = 0; i < v->count; i++)
            gen_value(gen, v->items[i]);
        yajl_gen_array_close(gen);
        break;
    case VALUE_MAP:
        yajl_gen_map_open(gen);
        for (unsigned int i = 0; i < v->count; i++) {
            gen_string(gen, v->names[i]);
            gen_value(gen, v->items[i]);
        }
        yajl_gen_map_close(gen);
        break;
    }
}

static char *gen_text(yajl_gen gen)
{
    const unsigned char *buffer;
    size_t length;
    char *text = NULL;

    if (yajl_gen_get_buf(gen, &buffer, &length) == yajl_gen_status_ok)
        text = strndup((const char *)buffer, length);
    yajl_gen_free(gen);
    return text;
}

char *write_json(const struct doc *doc)
{
    yajl_gen gen = yajl_gen_alloc(NULL);

    if (!gen)
        return NULL;
    yajl_gen_config(gen, yajl_gen_beautify, 1);
    yajl_gen_config(gen, yajl_gen_indent_string, "  ");
    gen_value(gen, doc->root);
    return gen_text(gen);
}

/* ---- the schema ---- */

static void gen_pair(yajl_gen gen, const char *name, const char *text)
{
    gen_string(gen, name);
    gen_string(gen, text);
}

static void gen_choices(yajl_gen gen, const char *choices)
{
    gen_string(gen, "enum");
    yajl_gen_array_open(gen);
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        yajl_gen_string(gen, (const unsigned char *)at, strcspn(at, "|"));
    yajl_gen_array_close(gen);
}

static void gen_items(yajl_gen gen, const char *type)
{
    gen_pair(gen, "type", "array");
    gen_string(gen, "items");
    yajl_gen_map_open(gen);
    gen_pair(gen, "type", type);
    yajl_gen_map_close(gen);
}

static void gen_key(yajl_gen gen, const struct key *key)
{
    gen_string(gen, key->name);
    yajl_gen_map_open(gen);
    if (key->type == KEY_INT) {
        gen_pair(gen, "type", "integer");
        if (key->min != INT64_MIN) {
            gen_string(gen, "minimum");
            yajl_gen_integer(gen, key->min);
            gen_string(gen, "maximum");
            yajl_gen_integer(gen, key->max);
        }
    } else if (key->type == KEY_BOOL) {
        gen_pair(gen, "type", "boolean");
    } else if (key->type == KEY_STRING) {
        gen_pair(gen, "type", "string");
    } else if (key->type == KEY_CHOICE) {
        gen_choices(gen, key->choices);
    } else if (key->type == KEY_DISKS || key->type == KEY_VIFS) {
        gen_items(gen, "object");
    } else if (key->type == KEY_CPUS) {
        gen_string(gen, "anyOf");
        yajl_gen_array_open(gen);
        yajl_gen_map_open(gen);
        gen_pair(gen, "type", "string");
        yajl_gen_map_close(gen);
        yajl_gen_map_open(gen);
        gen_items(gen, "string");
        yajl_gen_map_close(gen);
        yajl_gen_array_close(gen);
    }
    if (key->note)
        gen_pair(gen, "description", key->note);
    yajl_gen_map_close(gen);
}

char *config_schema(void)
{
    yajl_gen gen = yajl_gen_alloc(NULL);

    if (!gen)
        return NULL;
    yajl_gen_config(gen, yajl_gen_beautify, 1);
    yajl_gen_config(gen, yajl_gen_indent_string, "  ");
    yajl_gen_map_open(gen);
    gen_pair(gen, "$schema", "https://json-schema.org/draft/2020-12/schema");
    gen_pair(gen, "title", "A Bulkhead domain");
    gen_pair(gen, "type", "object");
    gen_string(gen, "required");
    yajl_gen_array_open(gen);
    gen_string(gen, "name");
    gen_string(gen, "kernel");
    yajl_gen_array_close(gen);
    gen_string(gen, "additionalProperties");
    yajl_gen_bool(gen, 0);
    gen_string(gen, "properties");
    yajl_gen_map_open(gen);
    for (unsigned int i = 0; i < config_key_count; i++)
        if (config_keys[i].use != KEY_LATER)
            gen_key(gen, &config_keys[i]);
    yajl_gen_map_close(gen);
    yajl_gen_map_close(gen);
    return gen_text(gen);
}
