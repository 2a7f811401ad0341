/* block-*, network-*, cd-*. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "../config/doc.h"
#include "cli.h"

/* The arguments from the second on, joined with commas. */
static char *joined(const struct call *call)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    for (unsigned int i = 1; out && i < call->count; i++)
        fprintf(out, "%s%s", i > 1 ? "," : "", call->args[i]);
    if (out)
        fclose(out);
    return text;
}

/* Old form of the arguments: TARGET VDEV [MODE]. */
static char *disk_spec(const struct call *call)
{
    char *text;

    if (call->count >= 3 && !strchr(call->args[1], ',') && !strchr(call->args[1], '=') &&
        !strchr(call->args[2], '=')) {
        if (asprintf(&text, "%s,,%s,%s", call->args[1], call->args[2],
                     call->count > 3 ? call->args[3] : "w") < 0)
            text = NULL;
        return text;
    }
    return joined(call);
}

int cmd_block_attach(struct call *call)
{
    struct doc *doc = doc_new("command line");
    char *spec = disk_spec(call);
    struct bh_disk disk = {0};
    struct value *map;
    unsigned int domid;
    int rc = 0;

    if (!doc || !spec || !find_domain(call, call->args[0], &domid)) {
        free(spec);
        doc_free(doc);
        return 1;
    }
    map = disk_spec_parse(doc, "disk", 0, spec);
    if (!map || !disk_from_map(doc, map, &disk)) {
        rc = failed_text(call, "%s", doc->diag_count ? doc->diags[0].text : "no memory");
    } else {
        ensure_daemon("bh-monitor");
        rc = bh_disk_attach(call->h, domid, &disk) ? failed(call) : 0;
    }
    bh_disk_free(&disk);
    value_free(map);
    free(spec);
    doc_free(doc);
    return rc;
}

int cmd_block_detach(struct call *call)
{
    unsigned int domid, devid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_vdev_to_devid(call->args[1], &devid))
        return failed_text(call, "\"%s\" is not a disk's name (xvda, 51712, ...)", call->args[1]);
    return bh_device_detach(call->h, domid, BH_VBD, devid, call->values['f']) ? failed(call) : 0;
}

static void device_json(yajl_gen gen, const struct bh_device *d, unsigned int domid,
                        enum bh_device_class class)
{
    yajl_gen_map_open(gen);
    json_number(gen, "domid", domid);
    json_number(gen, "devid", d->devid);
    json_number(gen, "backend_domid", d->backend_domid);
    json_number(gen, "state", d->state);
    json_number(gen, "backend_state", d->backend_state);
    json_number(gen, "event_channel", d->evtchn);
    json_number(gen, "ring_ref", d->ring_ref);
    json_pair(gen, "backend_path", d->backend_path);
    if (class == BH_VIF) {
        json_pair(gen, "mac", d->mac);
        json_pair(gen, "bridge", d->bridge);
    } else {
        json_pair(gen, "vdev", d->vdev);
        json_pair(gen, "params", d->params);
        json_pair(gen, "type", d->type);
    }
    yajl_gen_map_close(gen);
}

static int device_list(struct call *call, enum bh_device_class class)
{
    yajl_gen gen = call->json ? json_begin() : NULL;

    if (gen)
        yajl_gen_array_open(gen);
    else if (class == BH_VBD)
        printf("%-5s %-3s %-6s %-5s %-6s %-8s %-30s\n", "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref",
               "BE-path");
    else
        printf("%-3s %-2s %-17s %-6s %-5s %-6s %5s/%-5s %-30s\n", "Idx", "BE", "Mac Addr.", "handle", "state",
               "evt-ch", "tx-", "rx-ring-ref", "BE-path");
    for (unsigned int i = 0; i < call->count; i++) {
        struct bh_device *list;
        unsigned int domid, count;

        if (!find_domain(call, call->args[i], &domid))
            return 1;
        if (bh_device_list(call->h, domid, class, &list, &count))
            return failed(call);
        for (unsigned int j = 0; j < count; j++) {
            const struct bh_device *d = &list[j];

            if (gen)
                device_json(gen, d, domid, class);
            else if (class == BH_VBD)
                printf("%-5u %-3u %-6u %-5d %-6d %-8d %-30s\n", d->devid, d->backend_domid, domid, d->state,
                       d->evtchn, d->ring_ref, d->backend_path);
            else
                printf("%-3u %-2u %-17s %6u %5d %6d %5d/%-11d %-30s\n", d->devid, d->backend_domid,
                       d->mac ? d->mac : "-", d->devid, d->state, d->evtchn, d->ring_ref, d->ring_ref,
                       d->backend_path);
        }
        bh_device_list_free(list, count);
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    return 0;
}

int cmd_block_list(struct call *call)
{
    return device_list(call, BH_VBD);
}

int cmd_network_list(struct call *call)
{
    return device_list(call, BH_VIF);
}

int cmd_network_attach(struct call *call)
{
    struct doc *doc = doc_new("command line");
    char *spec = joined(call);
    struct bh_vif vif = {0};
    struct value *map;
    unsigned int domid;
    int rc = 0;

    if (!doc || !find_domain(call, call->args[0], &domid)) {
        free(spec);
        doc_free(doc);
        return 1;
    }
    map = vif_spec_parse(doc, "vif", 0, spec ? spec : "");
    if (!map || !vif_from_map(doc, map, &vif)) {
        rc = failed_text(call, "%s", doc->diag_count ? doc->diags[0].text : "no memory");
    } else {
        ensure_daemon("bh-monitor");
        rc = bh_vif_attach(call->h, domid, &vif) ? failed(call) : 0;
    }
    bh_vif_free(&vif);
    value_free(map);
    free(spec);
    doc_free(doc);
    return rc;
}

int cmd_network_detach(struct call *call)
{
    struct bh_device *list;
    unsigned int domid, count, devid = -1U;
    char *end;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_device_list(call->h, domid, BH_VIF, &list, &count))
        return failed(call);
    for (unsigned int i = 0; i < count; i++)
        if (list[i].mac && strcasecmp(list[i].mac, call->args[1]) == 0)
            devid = list[i].devid;
    bh_device_list_free(list, count);
    if (devid == -1U) {
        devid = strtoul(call->args[1], &end, 10);
        if (*end || !*call->args[1])
            return failed_text(call, "domain %u has no interface with the address %s", domid, call->args[1]);
    }
    return bh_device_detach(call->h, domid, BH_VIF, devid, call->values['f']) ? failed(call) : 0;
}

int cmd_cd_insert(struct call *call)
{
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    return bh_cd_change(call->h, domid, call->args[1], call->args[2]) ? failed(call) : 0;
}

int cmd_cd_eject(struct call *call)
{
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    return bh_cd_change(call->h, domid, call->args[1], NULL) ? failed(call) : 0;
}
