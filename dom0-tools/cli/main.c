/*
 * bh: finds the command (any unambiguous beginning of its name will do), parses its options from its row,
 * runs it. Called as `xl` it is the same program: the names and options are xl's.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cli.h"
#include "manual.h"

extern char **environ;

static const char *run_dir(void)
{
    const char *dir = getenv("BULKHEAD_RUN_DIR");

    return dir && *dir ? dir : "/run/bulkhead";
}

/* ---- failures ---- */

void failure_path(char *out, size_t size)
{
    snprintf(out, size, "%s/last-failure.json", run_dir());
}

/* Keeps messages, outermost first, with the command and the time. */
static void keep_failure(const struct call *call, const char *const *messages, unsigned int count, int code)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t length;
    char path[300];
    FILE *out;

    if (!gen)
        return;
    yajl_gen_map_open(gen);
    json_pair(gen, "command", call->command ? call->command->name : "");
    json_name(gen, "arguments");
    yajl_gen_array_open(gen);
    for (unsigned int i = 0; i < call->count; i++)
        json_text(gen, call->args[i]);
    yajl_gen_array_close(gen);
    json_number(gen, "time", time(NULL));
    json_number(gen, "errno", code);
    json_name(gen, "causes");
    yajl_gen_array_open(gen);
    for (unsigned int i = 0; i < count; i++)
        json_text(gen, messages[i]);
    yajl_gen_array_close(gen);
    yajl_gen_map_close(gen);
    mkdir(run_dir(), 0755);
    failure_path(path, sizeof(path));
    out = fopen(path, "we");
    if (out && yajl_gen_get_buf(gen, &text, &length) == yajl_gen_status_ok)
        fwrite(text, 1, length, out);
    if (out)
        fclose(out);
    yajl_gen_free(gen);
}

static void print_failure(const struct call *call, const char *const *messages, unsigned int count)
{
    bool colour = isatty(STDERR_FILENO);

    for (unsigned int i = 0; i < count; i++) {
        if (i == 0)
            fprintf(stderr, "%s%s %s:%s %s\n", colour ? "\033[1;31m" : "", call->program,
                    call->command ? call->command->name : "", colour ? "\033[0m" : "", messages[i]);
        else
            fprintf(stderr, "%*sbecause: %s\n", (int)(2 * i), "", messages[i]);
    }
}

int failed(struct call *call)
{
    const char *messages[16];
    unsigned int count = 0;

    while (count < 16 && (messages[count] = bh_error_message(call->h, count)))
        count++;
    if (!count)
        messages[count++] = "it failed without a reason";
    print_failure(call, messages, count);
    keep_failure(call, messages, count, bh_error_code(call->h));
    return 1;
}

int failed_text(struct call *call, const char *format, ...)
{
    char text[1024];
    const char *messages[1] = {text};
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_failure(call, messages, 1);
    keep_failure(call, messages, 1, 0);
    return 1;
}

static void print_usage(FILE *out, const struct call *call, const struct command *command)
{
    fprintf(out, "Usage: %s %s%s %s\n\n%s.\n", call->program, command->name,
            command->options[0].letter ? " [OPTIONS]" : "", command->arguments, command->summary);
    if (command->options[0].letter)
        fputs("\nOptions:\n", out);
    for (unsigned int i = 0; i < OPTIONS_MAX && command->options[i].letter; i++) {
        const struct option_row *o = &command->options[i];
        char left[64];
        bool letter = !isdigit((unsigned char)o->letter);

        snprintf(left, sizeof(left), "%s%.1s%s%s%s%s%s", letter ? "-" : "", letter ? &o->letter : "",
                 letter && o->name ? ", " : "", o->name ? "--" : "", o->name ? o->name : "",
                 o->value ? (o->name ? "=" : " ") : "", o->value ? o->value : "");
        fprintf(out, "  %-32s %s\n", left, o->help);
    }
    fputs("  --json                           print JSON, where something is listed\n", out);
}

int wrong_usage(struct call *call, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s %s: ", call->program, call->command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    print_usage(stderr, call, call->command);
    return 2;
}

/* ---- arguments ---- */

bool find_domain(struct call *call, const char *who, unsigned int *domid)
{
    if (bh_find(call->h, who, domid) == 0)
        return true;
    failed(call);
    return false;
}

bool parse_number(struct call *call, const char *what, const char *text, unsigned long max,
                  unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(text, &end, 0);
    if (isdigit((unsigned char)*text) && !*end && !errno && *out <= max)
        return true;
    failed_text(call, "%s \"%s\" is not a number from 0 to %lu", what, text, max);
    return false;
}

bool parse_memory(struct call *call, const char *text, uint64_t *kib)
{
    static const struct {
        char unit;
        unsigned int shift;
    } units[] = {{'b', 0}, {'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}};
    unsigned int shift = 20;
    bool good = isdigit((unsigned char)*text);
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 10);
    for (unsigned int i = 0; *end && i < 5; i++)
        if (tolower((unsigned char)*end) == units[i].unit) {
            shift = units[i].shift;
            end++;
            break;
        }
    if (!good || *end || errno || number > UINT64_MAX >> shift) {
        failed_text(call,
                    "\"%s\" is not an amount of memory: a number of MiB, or with b, k, m, g or t behind it",
                    text);
        return false;
    }
    *kib = number << shift >> 10;
    return true;
}

int named_list_get(struct call *call, struct named_list *list)
{
    int rc = bh_list(call->h, &list->domains, &list->count);

    list->names = NULL;
    if (rc)
        return rc;
    list->names = calloc(list->count ? list->count : 1, sizeof(*list->names));
    /* A list without names is still a list. */
    if (list->names && bh_names(call->h, list->domains, list->count, list->names))
        bh_error_clear(call->h);
    return 0;
}

void named_list_free(struct named_list *list)
{
    for (unsigned int i = 0; list->names && i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    free(list->domains);
}

const char *shown_name(const struct named_list *list, unsigned int index)
{
    if (list->names && list->names[index])
        return list->names[index];
    return list->domains[index].domid == 0 ? "Domain-0" : "(null)";
}

/* ---- JSON ---- */

yajl_gen json_begin(void)
{
    yajl_gen gen = yajl_gen_alloc(NULL);

    if (!gen)
        exit(1);
    yajl_gen_config(gen, yajl_gen_beautify, 1);
    yajl_gen_config(gen, yajl_gen_indent_string, "    ");
    return gen;
}

void json_end(yajl_gen gen)
{
    const unsigned char *text;
    size_t length;

    if (yajl_gen_get_buf(gen, &text, &length) == yajl_gen_status_ok)
        fwrite(text, 1, length, stdout);
    yajl_gen_free(gen);
    fflush(stdout);
}

void json_text(yajl_gen gen, const char *text)
{
    yajl_gen_string(gen, (const unsigned char *)text, strlen(text));
}

void json_name(yajl_gen gen, const char *name)
{
    json_text(gen, name);
}

void json_pair(yajl_gen gen, const char *name, const char *text)
{
    json_text(gen, name);
    if (text)
        json_text(gen, text);
    else
        yajl_gen_null(gen);
}

void json_number(yajl_gen gen, const char *name, long long number)
{
    json_text(gen, name);
    yajl_gen_integer(gen, number);
}

void json_flag(yajl_gen gen, const char *name, bool on)
{
    json_text(gen, name);
    yajl_gen_bool(gen, on);
}

/* ---- daemons ---- */

/* Each daemon holds a lock on RUN_DIR/NAME.lock while it runs. */
static bool daemon_runs(const char *program)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[300];
    int fd;
    bool runs;

    snprintf(path, sizeof(path), "%s/%s.lock", run_dir(), program);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    runs = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return runs;
}

void ensure_daemon(const char *program)
{
    char self[512], path[600];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char name[32], *argv[] = {name, NULL};
    pid_t pid;

    if (daemon_runs(program))
        return;
    snprintf(name, sizeof(name), "%s", program);
    self[length > 0 ? length : 0] = 0;
    snprintf(path, sizeof(path), "%s/%s", length > 0 ? dirname(self) : "", program);
    if (access(path, X_OK) == 0 ? posix_spawn(&pid, path, NULL, NULL, argv, environ)
                                : posix_spawnp(&pid, program, NULL, NULL, argv, environ))
        return;
    /* It puts itself in the background: its first process ends when it is ready. */
    waitpid(pid, NULL, 0);
}

/* ---- command line ---- */

static int list_commands(FILE *out, const struct call *call)
{
    fprintf(out, "Usage: %s [--json] [-v] [-f] [-N] COMMAND [ARGUMENTS]\n\n", call->program);
    for (unsigned int i = 0; i < command_count; i++)
        fprintf(out, "  %-20s %s\n", commands[i].name, commands[i].summary);
    fprintf(out,
            "\n%s help COMMAND explains one. The beginning of a name will do where it is not ambiguous.\n",
            call->program);
    return 0;
}

int cmd_help(struct call *call)
{
    const struct command *command;
    unsigned int matches;

    if (call->values['m'] && strcmp(call->values['m'], "bh.8") == 0)
        manual_commands();
    else if (call->values['m'] && strcmp(call->values['m'], "bh.cfg.5") == 0)
        manual_config();
    else if (call->values['m'])
        return failed_text(call, "the manual pages are bh.8 and bh.cfg.5");
    if (call->values['m'])
        return 0;
    if (!call->count)
        return list_commands(stdout, call);
    command = command_find(call->args[0], &matches);
    if (!command)
        return failed_text(call, "there is no command \"%s\"", call->args[0]);
    print_usage(stdout, call, command);
    return 0;
}

int cmd_completion(struct call *call)
{
    puts("_bh() {\n    local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]}\n    if [ $COMP_CWORD -eq 1 "
         "]; then");
    fputs("        COMPREPLY=($(compgen -W \"", stdout);
    for (unsigned int i = 0; i < command_count; i++)
        printf("%s ", commands[i].name);
    puts("\" -- \"$cur\")); return\n    fi\n    case $cmd in");
    for (unsigned int i = 0; i < command_count; i++) {
        const struct command *c = &commands[i];

        printf("    %s) local opts=\"--json --help", c->name);
        for (unsigned int j = 0; j < OPTIONS_MAX && c->options[j].letter; j++)
            if (c->options[j].name)
                printf(" --%s", c->options[j].name);
        printf("\"; local doms=\"%s\" ;;\n",
               strncmp(c->arguments, "DOMAIN", 6) == 0 || strncmp(c->arguments, "[DOMAIN", 7) == 0 ? "y"
                                                                                                   : "");
    }
    puts("    esac\n    case $cur in\n    -*) COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\")) ;;\n    *)\n"
         "        if [ -n \"$doms\" ] && [ $COMP_CWORD -eq 2 ]; then\n"
         "            COMPREPLY=($(compgen -W \"$(bh list 2>/dev/null | awk 'NR>1 {print $1}')\" -- "
         "\"$cur\"))\n"
         "        else\n            COMPREPLY=($(compgen -f -- \"$cur\"))\n        fi ;;\n    esac\n}\n"
         "complete -F _bh bh");
    return 0;
}

#define LONG_JSON 1000
#define LONG_HELP 1001
#define LONG_DRY  1002

/* Parses the options of the command's row. False: told why, *rc set. */
static bool parse_options(struct call *call, int argc, char **argv, int *rc)
{
    struct option longs[OPTIONS_MAX + 4] = {{0}};
    char shorts[OPTIONS_MAX * 2 + 8] = "+h";
    unsigned int n = 0, s = 2;
    int c;

    for (unsigned int i = 0; i < OPTIONS_MAX && call->command->options[i].letter; i++) {
        const struct option_row *o = &call->command->options[i];

        shorts[s++] = o->letter;
        if (o->value)
            shorts[s++] = ':';
        if (o->name)
            longs[n++] = (struct option){o->name, o->value ? required_argument : no_argument, NULL,
                                         (unsigned char)o->letter};
    }
    shorts[s] = 0;
    longs[n++] = (struct option){"json", no_argument, NULL, LONG_JSON};
    longs[n++] = (struct option){"help", no_argument, NULL, LONG_HELP};
    longs[n++] = (struct option){"dry-run", no_argument, NULL, LONG_DRY};
    /* Options may stand before and after the arguments, as with xl. */
    shorts[0] = '-';
    optind = 0;
    opterr = 0;
    call->args = argv;
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
        if (c == 1) {
            call->args[call->count++] = optarg;
        } else if (c == LONG_JSON) {
            call->json = true;
        } else if (c == LONG_DRY) {
            call->values['n'] = "";
        } else if (c == LONG_HELP || (c == 'h' && !call->values['h'])) {
            print_usage(stdout, call, call->command);
            *rc = 0;
            return false;
        } else if (c == '?') {
            *rc = wrong_usage(call, "has no option \"%s\", or it lacks its value", argv[optind - 1]);
            return false;
        } else {
            call->values[c & 0xff] = optarg ? optarg : "";
        }
    }
    while (optind < argc)
        call->args[call->count++] = argv[optind++];
    return true;
}

static int run_command(struct call *call, int argc, char **argv)
{
    unsigned int matches;
    int rc;

    call->command = command_find(argv[0], &matches);
    if (!call->command && matches > 1) {
        fprintf(stderr, "%s: \"%s\" could be", call->program, argv[0]);
        for (unsigned int i = 0; i < command_count; i++)
            if (strncmp(commands[i].name, argv[0], strlen(argv[0])) == 0)
                fprintf(stderr, " %s", commands[i].name);
        fputc('\n', stderr);
        return 2;
    }
    if (!call->command) {
        fprintf(stderr, "%s: there is no command \"%s\"; %s help lists them\n", call->program, argv[0],
                call->program);
        return 2;
    }
    if (!parse_options(call, argc, argv, &rc))
        return rc;
    if (call->count < call->command->min)
        return wrong_usage(call, "needs at least %u argument%s", call->command->min,
                           call->command->min > 1 ? "s" : "");
    if (call->command->max != 0xff && call->count > call->command->max)
        return wrong_usage(call, "takes at most %u argument%s", call->command->max,
                           call->command->max == 1 ? "" : "s");
    call->h = bh_open();
    if (!call->h) {
        fprintf(stderr, "%s: no memory\n", call->program);
        return 1;
    }
    rc = call->command->run(call);
    bh_close(call->h);
    return rc;
}

int command_main(int argc, char **argv)
{
    struct call call = {.program = "bh"};
    int c;
    static const struct option globals[] = {{"json", no_argument, NULL, 'J'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};

    if (argc && strcmp(basename(argv[0]), "xl") == 0)
        call.program = "xl";
    while ((c = getopt_long(argc, argv, "+vfNtTh", globals, NULL)) >= 0) {
        switch (c) {
        case 'J':
            call.json = true;
            break;
        case 'v':
            call.verbose = true;
            break;
        case 'f':
            call.force = true;
            break;
        case 'N':
            call.dry_run = true;
            break;
        case 'h':
            return list_commands(stdout, &call);
        case 'V':
            printf("bh %s\n", BULKHEAD_VERSION);
            return 0;
        case '?':
            list_commands(stderr, &call);
            return 2;
        }
    }
    if (optind >= argc) {
        list_commands(stderr, &call);
        return 2;
    }
    return run_command(&call, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
    int rc = command_main(argc, argv);

    if (fflush(stdout) || ferror(stdout))
        return rc ? rc : 1;
    return rc;
}
