/*
 * The control ring from the guest's side: asks for hashes of what is received and computes each of them again;
 * what a back end has to refuse is asked for too.
 */
#include "kernel.h"
#include "net.h"

#include "../frontend/grant.h"

#define KEY_BYTES  40u
#define TYPE_IPV4  0x0800
#define HASH_TYPES (XEN_NETIF_CTRL_HASH_TYPE_IPV4 | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP)

static uint8_t *key;
static unsigned right, wrong;

static uint32_t toeplitz(const uint8_t *data, unsigned bytes)
{
    uint32_t hash = 0;
    for (unsigned bit = 0; bit < bytes * 8; bit++) {
        uint32_t window = 0;
        if (!(data[bit / 8] & 0x80u >> bit % 8))
            continue;
        for (unsigned i = bit; i < bit + 32; i++)
            window = window << 1 | (key[i / 8] >> (7 - i % 8) & 1u);
        hash ^= window;
    }
    return hash;
}

static void watch(const struct netfront *n, const uint8_t *frame, unsigned bytes)
{
    unsigned ports = n->hash_type == _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP ? 4 : 0;
    uint8_t input[12];
    if (bytes < 38 || net_get16(frame + 12) != TYPE_IPV4)
        return;
    memcpy(input, frame + 26, 8);
    memcpy(input + 8, frame + 34, ports);
    if (n->hash_type >= 0 && n->hash == toeplitz(input, 8 + ports))
        right++;
    else
        wrong++;
}

static int ask(struct netfront *n, const char *what, int wanted, uint16_t type, const uint32_t a[3])
{
    uint32_t data;
    int status = netfront_control(n, type, a[0], a[1], a[2], &data);
    print("control: %s: status %d: %s\n", what, status, status == wanted ? "ok" : "WRONG");
    return status == wanted ? 0 : -1;
}

int control_requests(struct netfront *n, uint32_t address, unsigned seconds)
{
    uint32_t *mapping = fe_page_alloc();
    key = fe_page_alloc();
    if (!key || !mapping || !n->has_control)
        return -1;
    for (unsigned i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t)(i * 37 + 11);
    mapping[1] = 7; /* no such queue */
    uint32_t key_gref = grant_give(n->device.backend_domid, key, true);
    uint32_t map_gref = grant_give(n->device.backend_domid, mapping, true), none = 4000;
    const uint32_t toeplitz_only = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
    static const uint32_t no_argument[3];
    const struct {
        const char *what;
        int status;
        uint16_t type;
        uint32_t a[3];
    } requests[] = {
        {"hash types before an algorithm",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS,
         {HASH_TYPES}},
        {"an unknown algorithm",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM,
         {9}},
        {"Toeplitz", XEN_NETIF_CTRL_STATUS_SUCCESS, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, {toeplitz_only}},
        {"unknown hash types",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS,
         {1u << 9}},
        {"a key too long",
         XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW,
         XEN_NETIF_CTRL_TYPE_SET_HASH_KEY,
         {key_gref, 4096}},
        {"a key that is no grant",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_KEY,
         {none, KEY_BYTES}},
        {"a key", XEN_NETIF_CTRL_STATUS_SUCCESS, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, {key_gref, KEY_BYTES}},
        {"hash types", XEN_NETIF_CTRL_STATUS_SUCCESS, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, {HASH_TYPES}},
        {"a table too large",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE,
         {100000}},
        {"a table", XEN_NETIF_CTRL_STATUS_SUCCESS, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, {4}},
        {"a table with a queue that is not there",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING,
         {map_gref, 2, 0}},
        {"a table's last entries",
         XEN_NETIF_CTRL_STATUS_SUCCESS,
         XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING,
         {map_gref, 1, 3}},
        {"beyond the table",
         XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
         XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING,
         {map_gref, 1, 4}},
        {"a request of no known type", XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 99, {0}},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        rc |= ask(n, requests[i].what, requests[i].status, requests[i].type, requests[i].a);
    rc |= ask(n, "what hash types there are", XEN_NETIF_CTRL_STATUS_SUCCESS,
              XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, no_argument);
    right = wrong = 0;
    rc |= net_serve(n, address, seconds, watch);
    print("control: %u packets with the right hash, %u without\n", right, wrong);
    return rc || right == 0 || wrong ? -1 : 0;
}
