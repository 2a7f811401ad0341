/* events, why, dump-core: what happened. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yajl/yajl_tree.h>
#include "cli.h"

#define LOOK_MS 1000

/* ---- events ---- */

static unsigned long shown_events, wanted_events;

static void show_event(const struct call *call, const char *what, unsigned int domid, const char *name,
                       const char *detail)
{
    struct timespec t;
    struct tm tm;
    char stamp[32];

    clock_gettime(CLOCK_REALTIME, &t);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", gmtime_r(&t.tv_sec, &tm));
    if (call->json) {
        yajl_gen gen = yajl_gen_alloc(NULL);

        yajl_gen_map_open(gen);
        json_pair(gen, "time", stamp);
        json_pair(gen, "event", what);
        json_number(gen, "domid", domid);
        json_pair(gen, "name", name);
        if (detail)
            json_pair(gen, "detail", detail);
        yajl_gen_map_close(gen);
        json_end(gen);
        putchar('\n');
    } else {
        printf("%s.%03ld  %-10s %5u  %s%s%s\n", stamp, t.tv_nsec / 1000000, what, domid, name,
               detail ? "  " : "", detail ? detail : "");
    }
    fflush(stdout);
    shown_events++;
}

static const char *reason_text(unsigned int reason)
{
    static const char *const names[] = {"poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset"};

    return reason < 6 ? names[reason] : "unknown reason";
}

/* A domain that is being built has no name yet: it is told of once it has one. */
static void leave_out_unborn(const struct named_list *before, struct named_list *list)
{
    unsigned int kept = 0;

    for (unsigned int i = 0; list->names && i < list->count; i++) {
        bool known = list->names[i] || !(list->domains[i].flags & BH_PAUSED);

        for (unsigned int j = 0; j < before->count; j++)
            known |= before->domains[j].domid == list->domains[i].domid;
        if (!known)
            continue;
        list->domains[kept] = list->domains[i];
        list->names[kept++] = list->names[i];
    }
    list->count = list->names ? kept : list->count;
}

static void compare(const struct call *call, const struct named_list *before, struct named_list *after)
{
    for (unsigned int i = 0; i < after->count; i++) {
        const struct bh_domain *now = &after->domains[i], *was = NULL;
        unsigned int at = 0;
        uint32_t changed;

        for (unsigned int j = 0; j < before->count; j++)
            if (before->domains[j].domid == now->domid) {
                was = &before->domains[j];
                at = j;
            }
        /* A dying domain has lost its name in the store; it is known by the one it had. */
        if (was && after->names && !after->names[i] && before->names && before->names[at])
            after->names[i] = strdup(before->names[at]);
        if (!was)
            show_event(call, "created", now->domid, shown_name(after, i), NULL);
        changed = was ? was->flags ^ now->flags : now->flags;
        if (changed & BH_PAUSED && (was || now->flags & BH_PAUSED))
            show_event(call, now->flags & BH_PAUSED ? "paused" : "unpaused", now->domid, shown_name(after, i),
                       NULL);
        if (changed & BH_SHUTDOWN && now->flags & BH_SHUTDOWN)
            show_event(call, "shutdown", now->domid, shown_name(after, i), reason_text(now->shutdown_reason));
        if (changed & BH_DYING && now->flags & BH_DYING)
            show_event(call, "dying", now->domid, shown_name(after, i), NULL);
    }
    for (unsigned int j = 0; j < before->count; j++) {
        bool there = false;

        for (unsigned int i = 0; i < after->count; i++)
            there |= after->domains[i].domid == before->domains[j].domid;
        if (!there)
            show_event(call, "destroyed", before->domains[j].domid, shown_name(before, j), NULL);
    }
}

int cmd_events(struct call *call)
{
    struct named_list before, after;

    if (call->values['i'] && !parse_number(call, "count", call->values['i'], 1UL << 30, &wanted_events))
        return 1;
    if (bh_store_watch(call->h, "@introduceDomain", "e") || bh_store_watch(call->h, "@releaseDomain", "e") ||
        named_list_get(call, &before))
        return failed(call);
    while (!wanted_events || shown_events < wanted_events) {
        struct pollfd p = {.fd = bh_store_fd(call->h), .events = POLLIN};
        char *path, *token;

        /* Pausing is told to nobody, so that it is looked for. */
        if (bh_store_event_pending(call->h) || poll(&p, 1, LOOK_MS) > 0) {
            if (bh_store_next_event(call->h, &path, &token))
                return failed(call);
            free(path);
            free(token);
        }
        if (named_list_get(call, &after))
            return failed(call);
        leave_out_unborn(&before, &after);
        compare(call, &before, &after);
        named_list_free(&before);
        before = after;
    }
    named_list_free(&before);
    return 0;
}

/* ---- why ---- */

int cmd_why(struct call *call)
{
    static const char *command_path[] = {"command", NULL}, *time_path[] = {"time", NULL},
                      *causes_path[] = {"causes", NULL};
    char path[300], text[16384], stamp[32];
    yajl_val tree, command, when, causes;
    struct tm tm;
    time_t seconds;
    size_t size;
    FILE *in;

    failure_path(path, sizeof(path));
    in = fopen(path, "re");
    if (!in) {
        puts("Nothing has failed since this machine was started.");
        return 0;
    }
    size = fread(text, 1, sizeof(text) - 1, in);
    fclose(in);
    text[size] = 0;
    if (call->json) {
        puts(text);
        return 0;
    }
    tree = yajl_tree_parse(text, NULL, 0);
    command = yajl_tree_get(tree, command_path, yajl_t_string);
    when = yajl_tree_get(tree, time_path, yajl_t_number);
    causes = yajl_tree_get(tree, causes_path, yajl_t_array);
    if (!tree || !command || !when || !causes) {
        yajl_tree_free(tree);
        return failed_text(call, "%s cannot be understood", path);
    }
    seconds = YAJL_GET_INTEGER(when);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &tm));
    printf("At %s UTC `%s` failed:\n", stamp, YAJL_GET_STRING(command));
    for (size_t i = 0; i < causes->u.array.len; i++)
        printf("  %*s%s%s\n", (int)(2 * i), "", i ? "because: " : "",
               YAJL_GET_STRING(causes->u.array.values[i]));
    yajl_tree_free(tree);
    return 0;
}

/* ---- dump-core ---- */

int cmd_dump_core(struct call *call)
{
    struct bh_domain info;
    char path[300];
    unsigned int domid;
    bool paused;
    int rc;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_domain_info(call->h, domid, &info))
        return failed(call);
    if (call->count > 1)
        snprintf(path, sizeof(path), "%s", call->args[1]);
    else
        snprintf(path, sizeof(path), "domain-%u.core", domid);
    paused = !call->values['L'] && !(info.flags & (BH_PAUSED | BH_SHUTDOWN));
    if (paused && bh_pause(call->h, domid))
        return failed(call);
    rc = bh_dump_core(call->h, domid, path) ? failed(call) : 0;
    if (paused && bh_unpause(call->h, domid) && !rc)
        rc = failed(call);
    if (!rc && call->values['C'])
        rc = bh_destroy(call->h, domid) ? failed(call) : 0;
    else if (!rc && call->values['R'])
        rc = bh_request_shutdown(call->h, domid, "reboot") ? failed(call) : 0;
    if (!rc && !call->json)
        printf("The core of domain %u is in %s\n", domid, path);
    return rc;
}
