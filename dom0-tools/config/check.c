/*
 * Checks a document against the table of keys and fills the library's structure. Every mistake is told, not
 * the first alone: where it stands, which key, the value, and what is allowed.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "doc.h"

/* Levenshtein distance, for "did you mean"; words are short. */
static unsigned int distance(const char *a, const char *b)
{
    unsigned int row[64], n = strlen(b);

    if (n >= 63 || strlen(a) >= 63)
        return 63;
    for (unsigned int j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned int i = 1; a[i - 1]; i++) {
        unsigned int diagonal = row[0];

        row[0] = i;
        for (unsigned int j = 1; j <= n; j++) {
            unsigned int change = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = change < row[j] + 1 ? change : row[j] + 1;
            if (row[j - 1] + 1 < row[j])
                row[j] = row[j - 1] + 1;
        }
    }
    return row[n];
}

static void say_unknown(struct doc *doc, const char *name, const struct value *v)
{
    const char *best = NULL;
    unsigned int least = strlen(name) / 3 < 2 ? strlen(name) / 3 + 1 : 3;

    for (unsigned int i = 0; i < config_key_count; i++) {
        unsigned int d = distance(name, config_keys[i].name);

        if (d < least) {
            least = d;
            best = config_keys[i].name;
        }
    }
    if (best)
        doc_say(doc, DIAG_ERROR, v->line, name, "there is no such key; \"%s\" is meant?", best);
    else
        doc_say(doc, DIAG_ERROR, v->line, name, "there is no such key (bh.cfg(5) lists them)");
}

/* One character of UTF-8 that every format can hold: its length, or 0. */
static size_t utf8_length(const unsigned char *at)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t n = 0; n < 4; n++) {
        uint32_t code = at[0] & (unsigned char)~forms[n].mask;

        if ((at[0] & forms[n].mask) != forms[n].lead)
            continue;
        for (size_t i = 1; i <= n; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (at[i] & 0x3f);
        }
        return code < forms[n].least || code > 0x10ffff || (code & ~0x7ffU) == 0xd800 ||
                       (code & ~1U) == 0xfffe
                   ? 0
                   : n + 1;
    }
    return 0;
}

static bool is_text(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at) {
        size_t length = utf8_length(at);

        if (!length)
            return false;
        at += length;
    }
    return true;
}

/* What some format could not hold is refused in all. map: an object may stand here. */
static bool check_plain(struct doc *doc, const char *name, struct value *v, bool map)
{
    bool good = true;

    if (v->type == VALUE_STRING && !is_text(v->text)) {
        doc_say(doc, DIAG_ERROR, v->line, name, "the text is not UTF-8");
        return false;
    }
    if (v->type == VALUE_NULL || (v->type == VALUE_MAP && !map)) {
        doc_say(doc, DIAG_ERROR, v->line, name, "%s is not a value that it can have",
                v->count ? "an object" : "null");
        return false;
    }
    for (unsigned int i = 0; i < v->count && good; i++)
        good = check_plain(doc, name, v->items[i], map && v->type == VALUE_LIST);
    return good;
}

/* Truth values where no key asks for them are numbers, as xl.cfg has no others. */
static void booleans_to_numbers(struct value *v)
{
    if (v->type == VALUE_BOOL)
        v->type = VALUE_INT;
    for (unsigned int i = 0; i < v->count; i++)
        booleans_to_numbers(v->items[i]);
}

/* Numbers written as strings become numbers, 0 and 1 truth values, where the key says so. */
static void normalise(const struct key *key, struct value *v)
{
    char *end;
    long long number;

    if (v->type == VALUE_STRING && (key->type == KEY_INT || key->type == KEY_BOOL) && *v->text) {
        errno = 0;
        number = strtoll(v->text, &end, 0);
        if (!*end && !errno) {
            free(v->text);
            v->text = NULL;
            v->type = VALUE_INT;
            v->number = number;
        }
    }
    if (key->type == KEY_DISKS || key->type == KEY_VIFS)
        spec_normalise(v);
    else
        booleans_to_numbers(v);
    if (key->type == KEY_BOOL && v->type == VALUE_INT && (v->number == 0 || v->number == 1))
        v->type = VALUE_BOOL;
}

static bool check_int(struct doc *doc, const struct key *key, const struct value *v)
{
    if (v->type != VALUE_INT) {
        if (v->type == VALUE_STRING)
            doc_say(doc, DIAG_ERROR, v->line, key->name, "\"%s\" is not a number; allowed: %ld to %ld",
                    v->text, key->min, key->max);
        else
            doc_say(doc, DIAG_ERROR, v->line, key->name, "a number is wanted, %ld to %ld", key->min,
                    key->max);
        return false;
    }
    if (v->number >= key->min && v->number <= key->max)
        return true;
    doc_say(doc, DIAG_ERROR, v->line, key->name, "%ld is out of range; allowed: %ld to %ld", v->number,
            key->min, key->max);
    return false;
}

static bool check_choice(struct doc *doc, const struct key *key, const struct value *v)
{
    unsigned int index;

    if (v->type == VALUE_STRING && choice_index(key->choices, v->text, &index))
        return true;
    doc_say(doc, DIAG_ERROR, v->line, key->name, "%s%s%s is not allowed; allowed: %s",
            v->type == VALUE_STRING ? "\"" : "", v->type == VALUE_STRING ? v->text : "this value",
            v->type == VALUE_STRING ? "\"" : "", key->choices);
    return false;
}

/* "0-3,^5,node:1,all": the form; whether there are such CPUs is the machine's to say. */
static bool cpu_spec_good(const char *text)
{
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0)
        return true;
    for (;;) {
        if (*text == '^')
            text++;
        if (strncmp(text, "nodes:", 6) == 0)
            text += 6;
        else if (strncmp(text, "node:", 5) == 0)
            text += 5;
        if (*text == '^')
            text++;
        if (strncmp(text, "all", 3) == 0) {
            text += 3;
        } else {
            if (!isdigit((unsigned char)*text))
                return false;
            text += strspn(text, "0123456789");
            if (*text == '-' && isdigit((unsigned char)text[1]))
                text += 1 + strspn(text + 1, "0123456789");
        }
        if (!*text)
            return true;
        if (*text++ != ',')
            return false;
    }
}

static bool check_cpus(struct doc *doc, const struct key *key, const struct value *v)
{
    unsigned int n = v->type == VALUE_LIST ? v->count : 1;

    for (unsigned int i = 0; i < n; i++) {
        const struct value *item = v->type == VALUE_LIST ? v->items[i] : v;
        char buffer[24];
        const char *text = value_text(item, buffer);

        if (!text || !cpu_spec_good(text)) {
            doc_say(
                doc, DIAG_ERROR, item->line, key->name,
                "\"%s\" names no CPUs; allowed: numbers, ranges, ^ to leave out, node:N, all (\"0-3,^2\")",
                text ? text : "");
            return false;
        }
    }
    return true;
}

static bool check_type(struct doc *doc, const struct key *key, const struct value *v)
{
    switch (key->type) {
    case KEY_INT:
        return check_int(doc, key, v);
    case KEY_BOOL:
        if (v->type != VALUE_BOOL)
            doc_say(doc, DIAG_ERROR, v->line, key->name, "a truth value is wanted: 0 or 1%s",
                    v->type == VALUE_STRING ? ", without quotes" : "");
        return v->type == VALUE_BOOL;
    case KEY_STRING:
        if (v->type != VALUE_STRING)
            doc_say(doc, DIAG_ERROR, v->line, key->name, "a \"string\" is wanted");
        return v->type == VALUE_STRING;
    case KEY_CHOICE:
        return check_choice(doc, key, v);
    case KEY_CPUS:
        return check_cpus(doc, key, v);
    case KEY_DISKS:
    case KEY_VIFS:
        if (v->type != VALUE_LIST)
            doc_say(doc, DIAG_ERROR, v->line, key->name, "a list is wanted: [ \"...\", \"...\" ]");
        return v->type == VALUE_LIST;
    default:
        return true;
    }
}

static void check_one(struct doc *doc, const char *name, struct value *v, struct bh_config *config)
{
    const struct key *key = key_find(name);

    if (!key) {
        say_unknown(doc, name, v);
        return;
    }
    if (!check_plain(doc, name, v, key->type == KEY_DISKS || key->type == KEY_VIFS))
        return;
    normalise(key, v);
    if (key->use == KEY_LATER) {
        doc_say(doc, DIAG_ERROR, v->line, name, "%s are not supported yet; leave the key out", key->note);
        return;
    }
    if (key->use == KEY_NO_EFFECT) {
        doc_say(doc, DIAG_WARNING, v->line, name, "is known, but has no effect for this kind of guest");
        return;
    }
    if (check_type(doc, key, v) && key->apply)
        key->apply(doc, key, v, config);
}

static void finish_cmdline(const struct doc *doc, struct bh_config *c)
{
    const struct value *root = map_get(doc->root, "root"), *extra = map_get(doc->root, "extra");
    bool has_root = root && root->type == VALUE_STRING, has_extra = extra && extra->type == VALUE_STRING;

    if (c->cmdline || (!has_root && !has_extra))
        return;
    if (asprintf(&c->cmdline, "%s%s%s%s", has_root ? "root=" : "", has_root ? root->text : "",
                 has_root && has_extra ? " " : "", has_extra ? extra->text : "") < 0)
        c->cmdline = NULL;
}

static unsigned int line_of(const struct doc *doc, const char *name)
{
    const struct value *v = map_get(doc->root, name);

    return v ? v->line : 0;
}

/* What concerns several keys. */
static void check_together(struct doc *doc, struct bh_config *c)
{
    if (!map_get(doc->root, "name"))
        doc_say(doc, DIAG_ERROR, 0, "name", "is missing");
    if (!map_get(doc->root, "kernel"))
        doc_say(doc, DIAG_ERROR, 0, "kernel", "is missing: a PV guest needs the path of its kernel");
    if (!map_get(doc->root, "memory") && !map_get(doc->root, "maxmem"))
        doc_say(doc, DIAG_ERROR, 0, "memory", "is missing: MiB of memory");
    if (!c->memory_kib)
        c->memory_kib = c->max_memory_kib;
    if (!c->max_memory_kib)
        c->max_memory_kib = c->memory_kib;
    if (c->max_memory_kib < c->memory_kib)
        doc_say(doc, DIAG_ERROR, line_of(doc, "maxmem"), "maxmem", "%lu is less than memory = %lu",
                c->max_memory_kib >> 10, c->memory_kib >> 10);
    if (!map_get(doc->root, "maxvcpus"))
        c->max_vcpus = c->vcpus;
    else if (!map_get(doc->root, "vcpus"))
        c->vcpus = c->max_vcpus;
    if (c->vcpus > c->max_vcpus)
        doc_say(doc, DIAG_ERROR, line_of(doc, "vcpus"), "vcpus", "%u is more than maxvcpus = %u", c->vcpus,
                c->max_vcpus);
    if (c->cmdline && strlen(c->cmdline) > 1023)
        doc_say(doc, DIAG_ERROR, line_of(doc, "cmdline"), "cmdline", "is %zu characters long; allowed: 1023",
                strlen(c->cmdline));
}

bool doc_check(struct doc *doc, struct bh_config *config)
{
    bool whole = !doc->error_count; /* a file that could not be read to its end lacks nothing for certain */

    bh_config_init(config);
    config->on_soft_reset = BH_DO_SOFT_RESET;
    for (unsigned int i = 0; i < doc->root->count; i++)
        check_one(doc, doc->root->names[i], doc->root->items[i], config);
    finish_cmdline(doc, config);
    if (whole)
        check_together(doc, config);
    if (doc->error_count)
        return false;
    config->source = write_json(doc);
    return config->source != NULL;
}
