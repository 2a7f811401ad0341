/*
 * Disk and interface specifications: strings of xl-disk-configuration(5) and xl-network-configuration(5) to
 * maps and back, and maps to what the library takes. One table of names a kind says which there are and what
 * they may hold.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "doc.h"

enum field_type { FIELD_STRING, FIELD_FLAG, FIELD_INT };
struct field {
    const char *name;
    enum field_type type;
    const char *choices; /* separated by '|'; NULL: any */
};

static const struct field disk_fields[] = {
    {"target", FIELD_STRING, NULL},
    {"format", FIELD_STRING, "raw|qcow|qcow2|vhd|qed|empty"},
    {"vdev", FIELD_STRING, NULL},
    {"access", FIELD_STRING, "r|ro|w|rw"},
    {"devtype", FIELD_STRING, "cdrom|disk"},
    {"backend", FIELD_STRING, NULL},
    {"backendtype", FIELD_STRING, "phy|qdisk|bulkhead|tap|standalone"},
    {"script", FIELD_STRING, NULL},
    {"direct-io-safe", FIELD_FLAG, NULL},
    {"discard", FIELD_FLAG, NULL},
    {"removable", FIELD_FLAG, NULL},
    {"colo", FIELD_FLAG, NULL},
    {"specification", FIELD_STRING, "xen|virtio"},
    {"overlay", FIELD_STRING, NULL},
    {"iops", FIELD_INT, NULL},
    {"bandwidth", FIELD_INT, NULL},
    {"burst", FIELD_INT, NULL},
    {"secure-erase", FIELD_FLAG, NULL},
    {NULL, 0, NULL},
};
static const struct field vif_fields[] = {
    {"mac", FIELD_STRING, NULL},        {"bridge", FIELD_STRING, NULL},
    {"gatewaydev", FIELD_STRING, NULL}, {"type", FIELD_STRING, "ioemu|vif"},
    {"model", FIELD_STRING, NULL},      {"vifname", FIELD_STRING, NULL},
    {"script", FIELD_STRING, NULL},     {"ip", FIELD_STRING, NULL},
    {"backend", FIELD_STRING, NULL},    {"backendtype", FIELD_STRING, "linux|bulkhead"},
    {"rate", FIELD_STRING, NULL},       {"devid", FIELD_INT, NULL},
    {"mtu", FIELD_INT, NULL},           {"vlan", FIELD_INT, NULL},
    {"queues", FIELD_INT, NULL},        {"antispoof", FIELD_INT, NULL},
    {"trusted", FIELD_FLAG, NULL},      {NULL, 0, NULL},
};

bool choice_index(const char *choices, const char *text, unsigned int *index)
{
    size_t length = strlen(text);
    unsigned int i = 0;

    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL, i++)
        if (strcspn(at, "|") == length && strncmp(at, text, length) == 0) {
            *index = i;
            return true;
        }
    return false;
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

static bool parse_count(const char *text, int64_t *out)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 0);
    *out = number;
    return isdigit((unsigned char)*text) && !*end && !errno && number <= INT64_MAX;
}

/* Puts one named parameter into the map. */
static bool set_field(struct doc *doc, const char *key, unsigned int line, struct value *map,
                      const struct field *field, const char *text)
{
    unsigned int index;
    int64_t number;

    if (map_get(map, field->name)) {
        doc_say(doc, DIAG_ERROR, line, key, "\"%s\" is given twice", field->name);
        return false;
    }
    if (!*text && field->type == FIELD_STRING && strcmp(field->name, "target") != 0)
        return true;
    if (field->choices && !choice_index(field->choices, text, &index)) {
        doc_say(doc, DIAG_ERROR, line, key, "%s=%s: allowed are %s", field->name, text, field->choices);
        return false;
    }
    if (field->type == FIELD_INT) {
        if (!parse_count(text, &number)) {
            doc_say(doc, DIAG_ERROR, line, key, "%s=%s: a number is wanted", field->name, text);
            return false;
        }
        return map_set_int(map, field->name, number, line);
    }
    return map_set_string(map, field->name, text, line);
}

/* ---- disks ---- */

struct spec {
    struct doc *doc;
    const char *key;
    unsigned int line;
    struct value *map;
    bool good;
    unsigned int position; /* of the next positional parameter: target, format, vdev, access */
    bool prefixed;         /* the old form, "phy:/dev/x,xvda,w", which has no format in the middle */
};

static char *trim(char *text)
{
    size_t length;

    while (isspace((unsigned char)*text))
        text++;
    length = strlen(text);
    while (length && isspace((unsigned char)text[length - 1]))
        text[--length] = 0;
    return text;
}

static bool disk_flag(struct spec *s, const char *word)
{
    static const struct {
        const char *word, *name;
        int on; /* -1: devtype=cdrom */
    } flags[] = {
        {"cdrom", NULL, -1},
        {"discard", "discard", 1},
        {"no-discard", "discard", 0},
        {"removable", "removable", 1},
        {"direct-io-safe", "direct-io-safe", 1},
        {"secure-erase", "secure-erase", 1},
        {"colo", "colo", 1},
        {"no-colo", "colo", 0},
    };

    for (unsigned int i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(word, flags[i].word) != 0)
            continue;
        if (flags[i].on < 0)
            s->good &= map_set_string(s->map, "devtype", "cdrom", s->line);
        else
            s->good &= map_set_bool(s->map, flags[i].name, flags[i].on, s->line);
        return true;
    }
    return false;
}

static void disk_positional(struct spec *s, char *word)
{
    static const char *const order[] = {"target", "format", "vdev", "access"};
    char *colon;

    while (s->position < 4 && *word && map_get(s->map, order[s->position]))
        s->position++;
    if (s->position >= 4) {
        if (*word) {
            doc_say(s->doc, DIAG_ERROR, s->line, s->key,
                    "\"%s\" is neither a known flag nor one of target, format, vdev and access", word);
            s->good = false;
        }
        return;
    }
    /* Old forms: "raw:/path", "phy:/dev/x", "hdc:cdrom". */
    colon = strchr(word, ':');
    if (s->position == 0 && colon) {
        static const char *const prefixes[] = {"phy", "file", "raw", "qcow2", "qcow",
                                               "vhd", "tap",  "aio", "tap2"};

        for (unsigned int i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
            size_t length = strlen(prefixes[i]);

            if (strncmp(word, prefixes[i], length) != 0 || word[length] != ':')
                continue;
            if (i >= 2 && i <= 5)
                s->good &= map_set_string(s->map, "format", prefixes[i], s->line);
            if (i == 0)
                s->good &= map_set_string(s->map, "backendtype", "phy", s->line);
            s->prefixed = true;
            disk_positional(s, word + length + 1);
            return;
        }
    }
    if (s->position == 2 && colon && strcmp(colon, ":cdrom") == 0) {
        *colon = 0;
        s->good &= map_set_string(s->map, "devtype", "cdrom", s->line);
    }
    if (*word || s->position == 0)
        s->good &=
            set_field(s->doc, s->key, s->line, s->map, find_field(disk_fields, order[s->position]), word);
    s->position++;
}

struct value *disk_spec_parse(struct doc *doc, const char *key, unsigned int line, const char *text)
{
    struct spec s = {.doc = doc, .key = key, .line = line, .good = true};
    char *copy = strdup(text), *rest = copy;

    s.map = value_new(VALUE_MAP, line);
    while (copy && s.map && rest) {
        char *word, *equals;

        while (isspace((unsigned char)*rest))
            rest++;
        if (strncmp(rest, "target=", 7) == 0) {
            map_remove(s.map, "target");
            s.good &= map_set_string(s.map, "target", rest + 7, line);
            break;
        }
        word = trim(strsep(&rest, ","));
        equals = strchr(word, '=');
        if (equals && strchr(word, '/') && strchr(word, '/') < equals)
            equals = NULL;
        if (equals) {
            const struct field *field;

            *equals = 0;
            field = find_field(disk_fields, word);
            if (field && field->type != FIELD_FLAG) {
                s.good &= set_field(doc, key, line, s.map, field, trim(equals + 1));
            } else {
                doc_say(doc, DIAG_ERROR, line, key, "\"%s\" is not a parameter of a disk", word);
                s.good = false;
            }
        } else if (!disk_flag(&s, word)) {
            disk_positional(&s, word);
            if (s.position == 1 && (s.prefixed || map_get(s.map, "format")))
                s.position = 2;
        }
    }
    free(copy);
    if (s.map && !map_get(s.map, "vdev") && s.good) {
        doc_say(doc, DIAG_ERROR, line, key, "\"%s\": vdev is missing (xvda, hdc, ...)", text);
        s.good = false;
    }
    if (s.good)
        return s.map;
    value_free(s.map);
    return NULL;
}

static void print_named(FILE *out, const struct field *fields, const struct value *map, const char *skip)
{
    bool first = true;
    char buffer[24];

    for (const struct field *f = fields; f->name; f++) {
        const struct value *v = map_get(map, f->name);

        if (!v || (skip && strcmp(f->name, skip) == 0))
            continue;
        if (f->type == FIELD_FLAG) {
            const char *no = v->number ? "" : strcmp(f->name, "trusted") == 0 ? "un" : "no-";

            if (!v->number && strcmp(f->name, "discard") != 0 && strcmp(f->name, "trusted") != 0)
                continue;
            fprintf(out, "%s%s%s", first ? "" : ",", no, f->name);
        } else {
            const char *text = value_text(v, buffer);

            fprintf(out, "%s%s=%s", first ? "" : ",", f->name, text ? text : "");
        }
        first = false;
    }
}

char *disk_spec_print(const struct value *map)
{
    const struct value *target = map_get(map, "target");
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    print_named(out, disk_fields, map, "target");
    if (target && target->type == VALUE_STRING)
        fprintf(out, ",target=%s", target->text);
    fclose(out);
    return text;
}

/* ---- interfaces ---- */

struct value *vif_spec_parse(struct doc *doc, const char *key, unsigned int line, const char *text)
{
    struct value *map = value_new(VALUE_MAP, line);
    char *copy = strdup(text), *rest = copy;
    bool good = copy && map;

    while (good && rest) {
        char *word = trim(strsep(&rest, ",")), *equals = strchr(word, '=');
        const struct field *field;

        if (!*word)
            continue;
        if (strcmp(word, "trusted") == 0 || strcmp(word, "untrusted") == 0) {
            good &= map_set_bool(map, "trusted", word[0] == 't', line);
            continue;
        }
        if (equals)
            *equals = 0;
        field = find_field(vif_fields, trim(word));
        if (!equals || !field) {
            doc_say(doc, DIAG_ERROR, line, key, "\"%s\" is not a parameter of an interface", word);
            good = false;
        } else {
            good &= set_field(doc, key, line, map, field, trim(equals + 1));
        }
    }
    free(copy);
    if (good)
        return map;
    value_free(map);
    return NULL;
}

char *vif_spec_print(const struct value *map)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    print_named(out, vif_fields, map, NULL);
    fclose(out);
    return text;
}

/* ---- maps to the library's structs ---- */

void spec_normalise(struct value *list)
{
    static const char *const flags[] = {"direct-io-safe", "discard",      "removable",
                                        "colo",           "secure-erase", "trusted"};

    for (unsigned int i = 0; list->type == VALUE_LIST && i < list->count; i++)
        for (unsigned int f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
            struct value *v = map_get(list->items[i], flags[f]);

            if (!v || (v->type != VALUE_INT && v->type != VALUE_BOOL))
                continue;
            v->type = VALUE_BOOL;
            v->number = v->number != 0;
            /* Off is what these are anyway, and xl.cfg has no word for it. */
            if (!v->number && strcmp(flags[f], "discard") != 0 && strcmp(flags[f], "trusted") != 0)
                map_remove(list->items[i], flags[f]);
        }
}

/* Whether a string can stand between the commas of a specification. */
static bool fits_spec(const char *text)
{
    size_t length = strlen(text);

    return length && !strchr(text, ',') && !isspace((unsigned char)text[0]) &&
           !isspace((unsigned char)text[length - 1]);
}

static bool check_fields(struct doc *doc, const char *key, const struct field *fields,
                         const struct value *map)
{
    bool good = map->type == VALUE_MAP;

    if (!good)
        doc_say(doc, DIAG_ERROR, map->line, key, "an entry must be an object with named parameters");
    for (unsigned int i = 0; map->type == VALUE_MAP && i < map->count; i++) {
        const struct field *field = find_field(fields, map->names[i]);
        const struct value *v = map->items[i];
        unsigned int index;
        char buffer[24];

        if (!field) {
            doc_say(doc, DIAG_ERROR, v->line, key, "\"%s\" is not a parameter that it has", map->names[i]);
            good = false;
        } else if ((field->type == FIELD_STRING) != (v->type == VALUE_STRING) ||
                   (field->type == FIELD_INT && v->type != VALUE_INT) ||
                   (field->type == FIELD_FLAG && v->type != VALUE_BOOL && v->type != VALUE_INT)) {
            doc_say(doc, DIAG_ERROR, v->line, key, "%s: a %s is wanted", field->name,
                    field->type == FIELD_STRING ? "string"
                    : field->type == FIELD_INT  ? "number"
                                                : "truth value");
            good = false;
        } else if (field->choices && !choice_index(field->choices, value_text(v, buffer), &index)) {
            doc_say(doc, DIAG_ERROR, v->line, key, "%s=%s: allowed are %s", field->name, v->text,
                    field->choices);
            good = false;
        } else if (field->type == FIELD_STRING && strcmp(field->name, "target") != 0 && !fits_spec(v->text)) {
            doc_say(doc, DIAG_ERROR, v->line, key,
                    "%s=\"%s\": it may not be empty, hold commas or have blanks around it", field->name,
                    v->text);
            good = false;
        } else if (field->type == FIELD_INT && v->number < 0) {
            doc_say(doc, DIAG_ERROR, v->line, key, "%s=%ld is negative", field->name, v->number);
            good = false;
        }
    }
    return good;
}

static char *text_of(const struct value *map, const char *name)
{
    const struct value *v = map_get(map, name);

    return v && v->type == VALUE_STRING ? strdup(v->text) : NULL;
}

static bool is(const struct value *map, const char *name, const char *text)
{
    const struct value *v = map_get(map, name);

    return v && v->type == VALUE_STRING && strcmp(v->text, text) == 0;
}

static bool flag_of(const struct value *map, const char *name, bool otherwise)
{
    const struct value *v = map_get(map, name);

    return v ? v->number != 0 : otherwise;
}

static int64_t number_of(const struct value *map, const char *name)
{
    const struct value *v = map_get(map, name);

    return v ? v->number : 0;
}

static bool refuse(struct doc *doc, const struct value *map, const char *key, const char *why)
{
    doc_say(doc, DIAG_ERROR, map->line, key, "%s", why);
    return false;
}

bool disk_from_map(struct doc *doc, const struct value *map, struct bh_disk *out)
{
    const struct value *target;
    unsigned int devid;

    memset(out, 0, sizeof(*out));
    if (!check_fields(doc, "disk", disk_fields, map))
        return false;
    if (is(map, "format", "qcow") || is(map, "format", "vhd") || is(map, "format", "qed"))
        return refuse(doc, map, "disk",
                      "format: only raw and qcow2 images can be used (qemu-img convert makes one)");
    if (is(map, "specification", "virtio") || is(map, "backendtype", "standalone") ||
        is(map, "backendtype", "tap"))
        return refuse(doc, map, "disk", "virtio, tap and standalone back ends are not supported");
    out->vdev = text_of(map, "vdev");
    if (!out->vdev || bh_vdev_to_devid(out->vdev, &devid)) {
        doc_say(doc, DIAG_ERROR, map->line, "disk",
                "vdev=%s is not a disk's name (xvda, hdc, sdb1, d2p1, ...)", out->vdev ? out->vdev : "");
        bh_disk_free(out);
        return false;
    }
    target = map_get(map, "target");
    if (target && target->text && *target->text && *target->text != '/' && !map_get(map, "script")) {
        if (asprintf(&out->target, "/dev/%s", target->text) < 0)
            out->target = NULL;
    } else {
        out->target = text_of(map, "target");
    }
    out->format = text_of(map, "format");
    out->cdrom = is(map, "devtype", "cdrom");
    out->readonly = is(map, "access", "r") || is(map, "access", "ro") || out->cdrom;
    out->backend = text_of(map, "backend");
    out->script = text_of(map, "script");
    out->overlay = text_of(map, "overlay");
    out->backendtype = is(map, "backendtype", "phy") ? BH_BACKEND_LINUX
                       : map_get(map, "backendtype") ? BH_BACKEND_OURS
                                                     : BH_BACKEND_AUTO;
    out->removable = flag_of(map, "removable", false);
    out->direct_io_safe = flag_of(map, "direct-io-safe", false);
    out->no_discard = !flag_of(map, "discard", true);
    out->iops = number_of(map, "iops");
    out->bandwidth = number_of(map, "bandwidth");
    out->burst_ms = number_of(map, "burst");
    out->secure_erase = flag_of(map, "secure-erase", false);
    return true;
}

/* "10Mb/s", "1GB/s@20ms". */
static bool parse_rate(const char *text, struct bh_vif *out)
{
    char *end;
    double number = strtod(text, &end), unit = 1;
    unsigned long interval = 50000;

    if (*end == 'G' || *end == 'M' || *end == 'K') {
        unit = *end == 'G' ? 1e9 : *end == 'M' ? 1e6 : 1e3;
        end++;
    }
    if (strncmp(end, "b/s", 3) == 0)
        unit /= 8;
    else if (strncmp(end, "B/s", 3) != 0)
        return false;
    end += 3;
    if (*end == '@' && isdigit((unsigned char)end[1])) {
        interval = strtoul(end + 1, &end, 10);
        if (strncmp(end, "ms", 2) == 0)
            interval *= 1000;
        else if (strncmp(end, "us", 2) != 0)
            return false;
        end += 2;
    }
    if (*end || !(number > 0) || number * unit < 1 || number * unit > 1e15 || interval < 1 ||
        interval > 10000000)
        return false;
    out->rate_bytes = number * unit;
    out->rate_interval_us = interval;
    return true;
}

bool vif_from_map(struct doc *doc, const struct value *map, struct bh_vif *out)
{
    const struct value *mac = map_get(map, "mac"), *rate = map_get(map, "rate");
    unsigned int m[6];
    char extra;

    memset(out, 0, sizeof(*out));
    if (!check_fields(doc, "vif", vif_fields, map))
        return false;
    if (is(map, "type", "ioemu"))
        doc_say(doc, DIAG_WARNING, map->line, "vif",
                "type=ioemu has no meaning for a PV guest; type=vif is used");
    if (mac) {
        if (sscanf(mac->text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5],
                   &extra) != 6 ||
            m[0] & 1) {
            doc_say(doc, DIAG_ERROR, mac->line, "vif",
                    "mac=%s is not the address of one card (xx:xx:xx:xx:xx:xx, first "
                    "byte even; Xen's own start with 00:16:3e)",
                    mac->text);
            return false;
        }
        for (unsigned int i = 0; i < 6; i++)
            out->mac[i] = m[i];
        out->has_mac = true;
    }
    if (rate && !parse_rate(rate->text, out)) {
        doc_say(doc, DIAG_ERROR, rate->line, "vif",
                "rate=%s: wanted is a number with Kb/s, Mb/s, Gb/s, KB/s, MB/s or "
                "GB/s, then @interval if need be (10Mb/s@20ms)",
                rate->text);
        return false;
    }
    out->bridge = text_of(map, "bridge");
    out->ip = text_of(map, "ip");
    out->script = text_of(map, "script");
    out->vifname = text_of(map, "vifname");
    out->model = text_of(map, "model");
    out->gateway = text_of(map, "gatewaydev");
    out->backend = text_of(map, "backend");
    out->mtu = number_of(map, "mtu");
    out->vlan = number_of(map, "vlan");
    out->queues = number_of(map, "queues");
    out->antispoof = number_of(map, "antispoof") != 0;
    out->ours = !is(map, "backendtype", "linux");
    out->trusted = flag_of(map, "trusted", true);
    if (!out->bridge && !out->script && !out->gateway)
        out->bridge = strdup("xenbr0");
    return true;
}
