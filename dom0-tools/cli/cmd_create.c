/* create, prepare-kernel, config-update, config: configurations in, domains out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "../config/doc.h"
#include "cli.h"

static void print_diags(const struct doc *doc, bool warnings)
{
    bool colour = isatty(STDERR_FILENO);

    for (unsigned int i = 0; i < doc->diag_count; i++) {
        bool error = doc->diags[i].severity == DIAG_ERROR;

        if (error || warnings)
            fprintf(stderr, "%s%s:%s %s\n", colour ? error ? "\033[1;31m" : "\033[1;33m" : "",
                    error ? "error" : "warning", colour ? "\033[0m" : "", doc->diags[i].text);
    }
}

/* Reads the configuration that the command line names. NULL after telling. */
static struct doc *read_named(struct call *call, unsigned int first)
{
    const char *file = call->values['f'];
    struct doc *doc;

    if (!file && first < call->count &&
        (!strchr(call->args[first], '=') || access(call->args[first], F_OK) == 0))
        file = call->args[first++];
    doc = file ? doc_read_file(file) : doc_new("command line");
    if (!doc) {
        failed_text(call, "cannot read the configuration %s: %s", file ? file : "", strerror(errno));
        return NULL;
    }
    for (unsigned int i = first; i < call->count; i++)
        doc_override(doc, call->args[i]);
    return doc;
}

/* Reads and checks. False after telling; *doc may then still be there. */
static bool read_config(struct call *call, unsigned int first, struct doc **doc, struct bh_config *config)
{
    bool good;

    bh_config_init(config);
    *doc = read_named(call, first);
    if (!*doc)
        return false;
    good = doc_check(*doc, config);
    print_diags(*doc, !call->values['q']);
    if (!good && (*doc)->error_count)
        failed_text(call, "the configuration %s has %u mistake%s; the first: %s", (*doc)->file,
                    (*doc)->error_count, (*doc)->error_count == 1 ? "" : "s", (*doc)->diags[0].text);
    return good;
}

struct progress {
    bool terminal, verbose, shown;
};

static void show_step(void *context, const char *step)
{
    struct progress *p = context;

    if (p->verbose)
        fprintf(stderr, "%s\n", step);
    else if (p->terminal)
        fprintf(stderr, "\r\033[K%s ...", step);
    p->shown = true;
}

static void wait_for_end(struct call *call, unsigned int domid)
{
    struct bh_domain info;
    char *path, *token;

    if (bh_store_watch(call->h, "@releaseDomain", "wait"))
        return;
    while (bh_store_next_event(call->h, &path, &token) == 0) {
        free(path);
        free(token);
        if (bh_domain_info(call->h, domid, &info))
            return;
    }
}

static int dry_run(struct call *call, const struct doc *doc, const struct bh_config *config)
{
    char *json;

    if (bh_create_check(call->h, config))
        return failed(call);
    json = write_json(doc);
    if (call->json || strcmp(call->program, "xl") == 0) {
        printf("%s", json ? json : "");
    } else {
        printf("Domain \"%s\" can be created: PV, %u vcpus (of %u), %lu MiB (of %lu), kernel %s%s%s, %u "
               "disks, %u network "
               "interfaces.\nNothing was changed.\n",
               config->name, config->vcpus, config->max_vcpus, config->memory_kib >> 10,
               config->max_memory_kib >> 10, config->kernel, config->ramdisk ? ", ramdisk " : "",
               config->ramdisk ? config->ramdisk : "", config->disk_count, config->vif_count);
    }
    free(json);
    return 0;
}

static int create(struct call *call, const struct bh_config *config)
{
    struct progress progress = {.terminal = isatty(STDERR_FILENO),
                                .verbose = call->values['d'] || call->verbose};
    struct bh_create_options options = {
        .paused = call->values['p'], .progress = show_step, .context = &progress};
    unsigned int domid;
    int rc;

    if (call->values['1'])
        bh_inject(call->h, strtoul(call->values['1'], NULL, 10));
    else
        ensure_daemon("bh-monitor");
    if (call->values['q'])
        progress.terminal = false;
    rc = bh_create(call->h, config, &options, &domid);
    if (progress.terminal && progress.shown && !progress.verbose)
        fputs("\r\033[K", stderr);
    if (rc) {
        const char *step = bh_injected_step(call->h);

        if (step)
            printf("injected: %s\n", step);
        return failed(call);
    }
    if (call->values['1'] && !bh_injected_step(call->h))
        puts("injected: nothing");
    if (call->json) {
        yajl_gen gen = json_begin();

        yajl_gen_map_open(gen);
        json_number(gen, "domid", domid);
        json_pair(gen, "name", config->name);
        yajl_gen_map_close(gen);
        json_end(gen);
    }
    if (call->values['c'])
        return console_run(call, domid);
    if (call->values['F'])
        wait_for_end(call, domid);
    return 0;
}

int cmd_prepare_kernel(struct call *call)
{
    int status = 0;

    for (unsigned int i = 0; i < call->count; i++)
        if (bh_prepare_kernel(call->h, call->args[i]))
            status = failed(call);
    return status;
}

int cmd_create(struct call *call)
{
    struct bh_config config;
    struct doc *doc;
    int rc = 1;

    if (!call->count && !call->values['f'])
        return wrong_usage(call, "names no configuration");
    if (read_config(call, 0, &doc, &config))
        rc = call->values['n'] || call->dry_run ? dry_run(call, doc, &config) : create(call, &config);
    bh_config_free(&config);
    doc_free(doc);
    return rc;
}

int cmd_config_update(struct call *call)
{
    struct bh_config config;
    struct bh_domain info;
    struct doc *doc = NULL;
    unsigned int domid;
    int rc = 1;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_domain_info(call->h, domid, &info))
        return failed(call);
    /* A restart under way has taken the old configuration already, and ends with it. */
    if (info.flags & (BH_SHUTDOWN | BH_DYING))
        return failed_text(call, "domain %u has ended; what its configuration said is being done", domid);
    if (read_config(call, 1, &doc, &config))
        rc = bh_save_config(call->h, info.uuid, domid, config.source) ? failed(call) : 0;
    bh_config_free(&config);
    doc_free(doc);
    return rc;
}

static int convert(struct call *call, const struct doc *doc)
{
    const char *to = call->values['t'] ? call->values['t'] : "json", *output = call->values['o'];
    char *text = NULL;
    FILE *out = stdout;

    if (strcmp(to, "json") == 0)
        text = write_json(doc);
    else if (strcmp(to, "xml") == 0)
        text = write_xml(doc);
    else if (strcmp(to, "cfg") == 0 || strcmp(to, "xl") == 0)
        text = write_xlcfg(doc);
    else
        return failed_text(call, "--to=%s: allowed are cfg, xml and json", to);
    if (!text)
        return failed_text(call, "cannot make %s: no memory, or (xml) libbulkhead-xml.so.1 is not there", to);
    if (output)
        out = fopen(output, "we");
    if (!out || fputs(text, out) < 0 || (output && fclose(out))) {
        free(text);
        return failed_text(call, "cannot write %s: %s", output ? output : "the output", strerror(errno));
    }
    free(text);
    return 0;
}

static void diags_as_json(const struct doc *doc)
{
    yajl_gen gen = json_begin();

    yajl_gen_array_open(gen);
    for (unsigned int i = 0; i < doc->diag_count; i++) {
        yajl_gen_map_open(gen);
        json_pair(gen, "severity", doc->diags[i].severity == DIAG_ERROR ? "error" : "warning");
        json_number(gen, "line", doc->diags[i].line);
        json_pair(gen, "text", doc->diags[i].text);
        yajl_gen_map_close(gen);
    }
    yajl_gen_array_close(gen);
    json_end(gen);
}

int cmd_config(struct call *call)
{
    struct bh_config config;
    struct doc *doc;
    int rc;

    if (strcmp(call->args[0], "schema") == 0) {
        char *text = config_schema();

        fputs(text ? text : "", stdout);
        free(text);
        return text ? 0 : 1;
    }
    if (call->count != 2 || (strcmp(call->args[0], "convert") != 0 && strcmp(call->args[0], "check") != 0))
        return wrong_usage(call, "wants convert FILE, check FILE or schema");
    doc = doc_read_file(call->args[1]);
    if (!doc)
        return failed_text(call, "cannot read %s: %s", call->args[1], strerror(errno));
    if (strcmp(call->args[0], "convert") == 0) {
        print_diags(doc, true);
        rc = doc->error_count ? failed_text(call, "%s: %s", call->args[1], doc->diags[0].text)
                              : convert(call, doc);
        doc_free(doc);
        return rc;
    }
    bh_config_init(&config);
    rc = doc_check(doc, &config) ? 0 : 1;
    if (call->json)
        diags_as_json(doc);
    else
        print_diags(doc, true);
    if (!rc && !call->json)
        printf("%s: no mistakes\n", call->args[1]);
    bh_config_free(&config);
    doc_free(doc);
    return rc;
}
