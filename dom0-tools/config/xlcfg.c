/*
 * xl.cfg: reading and printing.
 *
 * Grammar: settings `key = value` and `key += value`, one a line or separated by ';'. A value is a number
 * (decimal, 0x hexadecimal, 0 octal), a string in single or double quotes with backslash escapes, or a list
 * in brackets, which may go over lines and end with a comma. '#' starts a comment. After a mistake reading
 * goes on at the next line, so that all mistakes are told at once.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "doc.h"

#define NESTING_MAX 16

enum token_type {
    T_END,
    T_NEWLINE,
    T_NAME,
    T_NUMBER,
    T_STRING,
    T_EQUALS,
    T_PLUS_EQUALS,
    T_OPEN,
    T_CLOSE,
    T_COMMA,
    T_BAD
};

struct lexer {
    struct doc *doc;
    const char *at, *end;
    unsigned int line;
    enum token_type type;
    char *text; /* NAME, STRING, NUMBER; of the current token */
    unsigned int token_line;
};

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape after the backslash; returns its byte and moves on, or -1. */
static int escape(struct lexer *l)
{
    static const char letters[] = "abfnrtv", bytes[] = "\a\b\f\n\r\t\v";
    const char *found = strchr(letters, *l->at);
    int value = 0, digits = 0;

    if (*l->at && found) {
        l->at++;
        return bytes[found - letters];
    }
    if (*l->at == '\\' || *l->at == '"' || *l->at == '\'')
        return *l->at++;
    if (*l->at == 'x') {
        for (l->at++; l->at < l->end && digits < 2 && hex_digit(*l->at) >= 0; digits++)
            value = value * 16 + hex_digit(*l->at++);
        return digits && value ? value : -1;
    }
    for (; l->at < l->end && digits < 3 && *l->at >= '0' && *l->at <= '7'; digits++)
        value = value * 8 + (*l->at++ - '0');
    return digits && value && value < 256 ? value : -1;
}

static void lex_string(struct lexer *l)
{
    char quote = *l->at++, *out = malloc(l->end - l->at + 1);
    size_t used = 0;

    l->type = out ? T_STRING : T_BAD;
    l->text = out;
    while (out && l->at < l->end && *l->at != quote) {
        int c = (unsigned char)*l->at++;

        if (c == '\n' || c == 0) {
            doc_say(l->doc, DIAG_ERROR, l->line, NULL,
                    "the string is not closed on its line (a %c is missing)", quote);
            l->at--;
            l->type = T_BAD;
            break;
        }
        if (c == '\\' && l->at < l->end) {
            c = escape(l);
            if (c < 0) {
                doc_say(l->doc, DIAG_ERROR, l->line, NULL,
                        "unknown escape in a string; allowed: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\' "
                        "\\xHH \\NNN");
                l->type = T_BAD;
                break;
            }
        }
        out[used++] = c;
    }
    if (out)
        out[used] = 0;
    if (l->type == T_STRING && l->at < l->end) {
        l->at++;
    } else if (l->type == T_STRING) {
        doc_say(l->doc, DIAG_ERROR, l->line, NULL, "the string is not closed (a %c is missing)", quote);
        l->type = T_BAD;
    }
}

static void lex_word(struct lexer *l)
{
    const char *start = l->at;

    if (*l->at == '-' || *l->at == '+')
        l->at++;
    while (l->at < l->end && name_char(*l->at))
        l->at++;
    l->text = strndup(start, l->at - start);
    l->type = isdigit((unsigned char)*start) || *start == '-' || *start == '+' ? T_NUMBER : T_NAME;
    if (!l->text)
        l->type = T_BAD;
}

static void skip_blanks(struct lexer *l)
{
    while (l->at < l->end) {
        if (*l->at == '#')
            while (l->at < l->end && *l->at != '\n')
                l->at++;
        else if (*l->at == ' ' || *l->at == '\t' || *l->at == '\r' || *l->at == '\f')
            l->at++;
        else if (*l->at == '\\' && l->end - l->at > 1 && l->at[1] == '\n') {
            l->at += 2;
            l->line++;
        } else
            return;
    }
}

static void next(struct lexer *l)
{
    static const struct {
        char c;
        enum token_type type;
    } marks[] = {{'=', T_EQUALS}, {'[', T_OPEN}, {']', T_CLOSE}, {',', T_COMMA}, {';', T_NEWLINE}};

    free(l->text);
    l->text = NULL;
    skip_blanks(l);
    l->token_line = l->line;
    l->type = T_END;
    if (l->at == l->end)
        return;
    if (*l->at == '\n') {
        l->type = T_NEWLINE;
        l->at++;
        l->line++;
        return;
    }
    if (*l->at == '"' || *l->at == '\'') {
        lex_string(l);
        return;
    }
    if (l->end - l->at > 1 && l->at[0] == '+' && l->at[1] == '=') {
        l->type = T_PLUS_EQUALS;
        l->at += 2;
        return;
    }
    if (name_char(*l->at) ||
        ((*l->at == '-' || *l->at == '+') && l->end - l->at > 1 && isdigit((unsigned char)l->at[1]))) {
        lex_word(l);
        return;
    }
    for (unsigned int i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (*l->at == marks[i].c) {
            l->type = marks[i].type;
            l->at++;
            return;
        }
    doc_say(l->doc, DIAG_ERROR, l->line, NULL,
            isprint((unsigned char)*l->at) ? "unexpected '%c'" : "unexpected byte %#x",
            (unsigned char)*l->at);
    l->type = T_BAD;
    l->at++;
}

static void skip_line(struct lexer *l)
{
    while (l->type != T_NEWLINE && l->type != T_END)
        next(l);
}

static struct value *parse_value(struct lexer *l, const char *key, unsigned int depth);

static struct value *parse_list(struct lexer *l, const char *key, unsigned int depth)
{
    struct value *list = value_new(VALUE_LIST, l->token_line);
    unsigned int opened = l->token_line;

    next(l);
    while (list) {
        struct value *item;

        while (l->type == T_NEWLINE)
            next(l);
        if (l->type == T_CLOSE)
            break;
        if (l->type == T_END) {
            doc_say(l->doc, DIAG_ERROR, opened, key, "the list is not closed (a ] is missing)");
            break;
        }
        item = parse_value(l, key, depth + 1);
        if (!item || !value_append(list, item)) {
            value_free(list);
            return NULL;
        }
        while (l->type == T_NEWLINE)
            next(l);
        if (l->type == T_COMMA) {
            next(l);
        } else if (l->type != T_CLOSE && l->type != T_END) {
            doc_say(l->doc, DIAG_ERROR, l->token_line, key, "a comma or ] is missing in the list");
            value_free(list);
            return NULL;
        }
    }
    next(l);
    return list;
}

static struct value *parse_number(struct lexer *l, const char *key)
{
    struct value *value;
    char *end;
    long long number;

    errno = 0;
    number = strtoll(l->text, &end, 0);
    if (*end || errno) {
        doc_say(l->doc, DIAG_ERROR, l->token_line, key, "\"%s\" is not a number; strings need quotes",
                l->text);
        return NULL;
    }
    value = value_int(number, l->token_line);
    next(l);
    return value;
}

/* NULL: told why. The token after the value is current. */
static struct value *parse_value(struct lexer *l, const char *key, unsigned int depth)
{
    struct value *value = NULL;

    if (l->type == T_NUMBER)
        return parse_number(l, key);
    if (l->type == T_STRING) {
        value = value_string(l->text, l->token_line);
        next(l);
    } else if (l->type == T_OPEN && depth < NESTING_MAX) {
        value = parse_list(l, key, depth);
    } else if (l->type == T_OPEN) {
        doc_say(l->doc, DIAG_ERROR, l->token_line, key, "lists are nested more than %d deep", NESTING_MAX);
    } else if (l->type == T_NAME) {
        doc_say(l->doc, DIAG_ERROR, l->token_line, key, "%s must be written in quotes: \"%s\"", l->text,
                l->text);
    } else if (l->type != T_BAD) {
        doc_say(l->doc, DIAG_ERROR, l->token_line, key,
                "a value is missing: a number, a \"string\" or a [ list ]");
    }
    return value;
}

/* Disks and interfaces become maps, so that every format holds the same. */
static struct value *structured(struct doc *doc, const char *name, struct value *value)
{
    const struct key *key = key_find(name);
    struct value *list;

    if (!key || (key->type != KEY_DISKS && key->type != KEY_VIFS) || value->type != VALUE_LIST)
        return value;
    list = value_new(VALUE_LIST, value->line);
    for (unsigned int i = 0; list && i < value->count; i++) {
        const struct value *item = value->items[i];
        struct value *map = NULL;

        if (item->type != VALUE_STRING)
            doc_say(doc, DIAG_ERROR, item->line, name, "entry %u of the list must be a string", i + 1);
        else
            map = key->type == KEY_DISKS ? disk_spec_parse(doc, name, item->line, item->text)
                                         : vif_spec_parse(doc, name, item->line, item->text);
        if (map)
            value_append(list, map);
    }
    value_free(value);
    return list;
}

static void add_to(struct doc *doc, const char *name, struct value *value)
{
    struct value *old = map_get(doc->root, name);

    if (!old) {
        map_set(doc->root, name, value);
    } else if (old->type == VALUE_LIST && value->type == VALUE_LIST) {
        for (unsigned int i = 0; i < value->count; i++) {
            value_append(old, value->items[i]);
            value->items[i] = NULL;
        }
        value->count = 0;
        value_free(value);
    } else if (old->type == VALUE_STRING && value->type == VALUE_STRING) {
        char *text;

        if (asprintf(&text, "%s%s", old->text, value->text) >= 0) {
            free(old->text);
            old->text = text;
        }
        value_free(value);
    } else {
        doc_say(doc, DIAG_ERROR, value->line, name,
                "+= joins a list to a list or a string to a string, nothing else");
        value_free(value);
    }
}

static void parse_setting(struct lexer *l)
{
    char *name = strdup(l->text);
    unsigned int line = l->token_line;
    bool add;
    struct value *value;

    next(l);
    add = l->type == T_PLUS_EQUALS;
    if (!name || (l->type != T_EQUALS && !add)) {
        doc_say(l->doc, DIAG_ERROR, line, name, "'=' is missing after the key");
        skip_line(l);
        free(name);
        return;
    }
    next(l);
    value = parse_value(l, name, 0);
    if (value && l->type != T_NEWLINE && l->type != T_END && l->type != T_BAD)
        doc_say(l->doc, DIAG_ERROR, l->token_line, name,
                "more follows after the value; one setting a line, or ';' between");
    skip_line(l);
    if (value) {
        value->line = line;
        value = structured(l->doc, name, value);
    }
    if (value && add)
        add_to(l->doc, name, value);
    else if (value)
        map_set(l->doc->root, name, value);
    free(name);
}

void read_xlcfg(struct doc *doc, const char *text, size_t size)
{
    struct lexer l = {.doc = doc, .at = text, .end = text + size, .line = 1};

    next(&l);
    while (l.type != T_END) {
        if (l.type == T_NAME) {
            parse_setting(&l);
        } else if (l.type == T_NEWLINE) {
            next(&l);
        } else {
            if (l.type != T_BAD)
                doc_say(doc, DIAG_ERROR, l.token_line, NULL, "a setting starts with its key: key = value");
            skip_line(&l);
        }
    }
    free(l.text);
}

void doc_override(struct doc *doc, const char *assignment)
{
    char *file = doc->file;

    doc->file = strdup("command line");
    if (doc->file)
        read_xlcfg(doc, assignment, strlen(assignment));
    free(doc->file);
    doc->file = file;
}

/* ---- printing ---- */

static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = *text;

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void print_value(FILE *out, const struct value *value, const struct key *key)
{
    char *spec;

    switch (value->type) {
    case VALUE_NULL:
        fputs("\"\"", out);
        break;
    case VALUE_BOOL:
    case VALUE_INT:
        fprintf(out, "%ld", value->number);
        break;
    case VALUE_STRING:
        print_string(out, value->text);
        break;
    case VALUE_MAP:
        spec = key && key->type == KEY_DISKS ? disk_spec_print(value) : vif_spec_print(value);
        print_string(out, spec ? spec : "");
        free(spec);
        break;
    case VALUE_LIST:
        fputs("[ ", out);
        for (unsigned int i = 0; i < value->count; i++) {
            fputs(i ? ", " : "", out);
            print_value(out, value->items[i], key);
        }
        fputs(" ]", out);
        break;
    }
}

char *write_xlcfg(const struct doc *doc)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    for (unsigned int i = 0; i < doc->root->count; i++) {
        fprintf(out, "%s = ", doc->root->names[i]);
        print_value(out, doc->root->items[i], key_find(doc->root->names[i]));
        fputc('\n', out);
    }
    fclose(out);
    return text;
}
