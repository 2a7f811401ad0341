#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option known[] = {{"domid", required_argument, NULL, 'd'},
                                      {"devid", required_argument, NULL, 'i'},
                                      {"backend-domid", required_argument, NULL, 'b'},
                                      {"path", required_argument, NULL, 'p'},
                                      {"user", required_argument, NULL, 'u'},
                                      {"run-dir", required_argument, NULL, 'r'},
                                      {"no-sandbox", no_argument, NULL, 's'},
                                      {"help", no_argument, NULL, 'h'},
                                      {"version", no_argument, NULL, 'v'},
                                      {NULL, 0, NULL, 0}};

static void usage(const char *program)
{
    printf("usage: %s --domid N --devid M [OPTION...]\n"
           "  --domid N           guest that the device belongs to\n"
           "  --devid M           number of the device\n"
           "  --path PATH         store directory of the back end, in place of the two\n"
           "  --backend-domid B   domain that this process runs in (0)\n"
           "  --user NAME         account to become once set up (nobody)\n"
           "  --run-dir DIR       where counters and sockets live (/run/bulkhead)\n"
           "  --no-sandbox        keep root and all system calls\n",
           program);
}

static bool number(const char *text, const char *name, unsigned *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > 0x7fffffff) {
        fprintf(stderr, "--%s: \"%s\" is not a number\n", name, text);
        return false;
    }
    *out = (unsigned)value;
    return true;
}

/* /local/domain/B/backend/KIND/N/M: the last two parts are domain and device. */
static bool split_path(struct options *o)
{
    const char *device = strrchr(o->path, '/');
    if (!device || device == o->path)
        return false;
    const char *domain = device;
    while (domain > o->path && domain[-1] != '/')
        domain--;
    return sscanf(domain, "%u/%u", &o->domid, &o->devid) == 2;
}

static bool take(struct options *o, int option, const char *program)
{
    switch (option) {
    case 'd':
        return number(optarg, "domid", &o->domid);
    case 'i':
        return number(optarg, "devid", &o->devid);
    case 'b':
        return number(optarg, "backend-domid", &o->backend_domid);
    case 'p':
        snprintf(o->path, sizeof(o->path), "%s", optarg);
        return true;
    case 'u':
        o->user = optarg;
        return true;
    case 'r':
        o->run_dir = optarg;
        return true;
    case 's':
        o->sandbox = false;
        return true;
    case 'v':
        printf("%s (Bulkhead) %s\n", program, BULKHEAD_VERSION);
        return false;
    default:
        usage(program);
        return false;
    }
}

bool options_parse(struct options *o, int argc, char **argv, const char *kind)
{
    *o = (struct options){
        .domid = ~0u, .devid = ~0u, .user = "nobody", .run_dir = "/run/bulkhead", .sandbox = true};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0)
        if (!take(o, option, argv[0]))
            return false;
    if (o->path[0] && !split_path(o)) {
        fprintf(stderr, "--path: \"%s\" does not end in DOMID/DEVID\n", o->path);
        return false;
    }
    if (o->domid == ~0u || o->devid == ~0u || optind != argc) {
        usage(argv[0]);
        return false;
    }
    if (!o->path[0])
        snprintf(o->path, sizeof(o->path), "/local/domain/%u/backend/%s/%u/%u", o->backend_domid, kind,
                 o->domid, o->devid);
    return true;
}
