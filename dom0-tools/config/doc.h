/*
 * A configuration as it was written: keys and values with the place where each stood.
 *
 * Model. Three readers (xl.cfg, libvirt domain XML, JSON) make the same document; three writers print it. The
 * document keeps every key that was given, known or not, so that converting loses nothing. What the keys mean
 * is in keys.c alone; check.c turns a document into a struct bh_config and tells every mistake.
 *
 * A document owns its values; a value belongs to one document.
 */
#ifndef BH_CONFIG_DOC_H
#define BH_CONFIG_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../lib/bulkhead.h"

enum value_type { VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_STRING, VALUE_LIST, VALUE_MAP };

struct value {
    enum value_type type;
    unsigned int line;
    int64_t number;       /* INT, BOOL */
    char *text;           /* STRING */
    struct value **items; /* LIST, MAP */
    char **names;         /* MAP: the name of each item */
    unsigned int count;
};

enum severity { DIAG_WARNING, DIAG_ERROR };
struct diag {
    enum severity severity;
    unsigned int line;
    char *text; /* file:line: key: what is wrong, what is allowed */
};

struct doc {
    char *file;
    struct value *root; /* a map */
    struct diag *diags;
    unsigned int diag_count, error_count;
};

enum doc_format { DOC_XLCFG, DOC_XML, DOC_JSON };

struct value *value_new(enum value_type type, unsigned int line);
struct value *value_string(const char *text, unsigned int line);
struct value *value_int(int64_t number, unsigned int line);
struct value *value_bool(bool on, unsigned int line);
void value_free(struct value *value);
struct value *value_copy(const struct value *value);
bool value_equal(const struct value *a, const struct value *b);
/* Both take the item over, also when they fail (memory): then it is freed and false returned. */
bool value_append(struct value *list, struct value *item);
/* Replaces a value of the same name. */
bool map_set(struct value *map, const char *name, struct value *item);
struct value *map_get(const struct value *map, const char *name);
void map_remove(struct value *map, const char *name);
/* Text of a scalar, NULL for others. Numbers and booleans are printed into buffer. */
const char *value_text(const struct value *value, char buffer[24]);
bool map_set_string(struct value *map, const char *name, const char *text, unsigned int line);
bool map_set_int(struct value *map, const char *name, int64_t number, unsigned int line);
bool map_set_bool(struct value *map, const char *name, bool on, unsigned int line);

struct doc *doc_new(const char *file);
void doc_free(struct doc *doc);
/* key may be NULL. */
void doc_say(struct doc *doc, enum severity severity, unsigned int line, const char *key, const char *format,
             ...) __attribute__((format(printf, 5, 6)));

/* Readers: mistakes of syntax go to the document's diags; what could be read is in it all the same. */
void read_xlcfg(struct doc *doc, const char *text, size_t size);
void read_xml(struct doc *doc, const char *text, size_t size);
void read_json(struct doc *doc, const char *text, size_t size);
/* Tells the format from the contents. */
enum doc_format guess_format(const char *text, size_t size);
/* Reads a file ("-": standard input). NULL and errno: it cannot be read at all. */
struct doc *doc_read_file(const char *path);
struct doc *doc_read_text(const char *name, const char *text, size_t size);

/* Writers: malloc'ed text, NULL for lack of memory. */
char *write_xlcfg(const struct doc *doc);
char *write_xml(const struct doc *doc);
char *write_json(const struct doc *doc);

/* Parses "key=value" given on a command line into the document, in the grammar of xl.cfg. */
void doc_override(struct doc *doc, const char *assignment);

/* ---- disks and interfaces: one string in xl.cfg, a map elsewhere ---- */

/* Returns a map, or NULL after telling why. */
struct value *disk_spec_parse(struct doc *doc, const char *key, unsigned int line, const char *spec);
struct value *vif_spec_parse(struct doc *doc, const char *key, unsigned int line, const char *spec);
/* A list of them: flags become truth values, and flags that say nothing go. */
void spec_normalise(struct value *list);
char *disk_spec_print(const struct value *map);
char *vif_spec_print(const struct value *map);
/* Fills the struct; false after telling why. */
bool disk_from_map(struct doc *doc, const struct value *map, struct bh_disk *out);
bool vif_from_map(struct doc *doc, const struct value *map, struct bh_vif *out);

/* ---- keys ---- */

enum key_type {
    KEY_INT,
    KEY_BOOL,
    KEY_STRING,
    KEY_CHOICE,
    KEY_STRINGS,
    KEY_CPUS,
    KEY_DISKS,
    KEY_VIFS,
    KEY_ANY
};
enum key_use {
    KEY_USED,       /* has an effect */
    KEY_NO_EFFECT,  /* known, but without meaning for a PV guest here: warned of */
    KEY_LATER,      /* names something that cannot be done yet: refused */
    KEY_DEPRECATED, /* takes effect, with a word about its successor */
};
struct key {
    const char *name;
    enum key_type type;
    enum key_use use;
    int64_t min, max;    /* KEY_INT */
    const char *choices; /* KEY_CHOICE: separated by '|' */
    const char *note;    /* for the schema, the man page and messages */
    /* Puts the checked value into the config; NULL: nothing to put. */
    bool (*apply)(struct doc *doc, const struct key *key, const struct value *value,
                  struct bh_config *config);
};
extern const struct key config_keys[];
extern const unsigned int config_key_count;
const struct key *key_find(const char *name);
bool choice_index(const char *choices, const char *text, unsigned int *index);

/* Checks everything and fills *config (initialised by this). False: the document has errors. */
bool doc_check(struct doc *doc, struct bh_config *config);
/* The JSON schema of configurations. */
char *config_schema(void);

#endif
