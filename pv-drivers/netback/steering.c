#include "steering.h"

#include <string.h>

#include "packet.h"

#define KNOWN_TYPES                                                                                          \
    (XEN_NETIF_CTRL_HASH_TYPE_IPV4 | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP | XEN_NETIF_CTRL_HASH_TYPE_IPV6 |     \
     XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP)
#define TYPE_IPV4    0x0800
#define TYPE_IPV6    0x86dd
#define PROTOCOL_TCP 6

static uint32_t set_algorithm(struct steering *s, uint32_t algorithm)
{
    if (algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE &&
        algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    s->algorithm = algorithm;
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t set_types(struct steering *s, uint32_t types)
{
    if (types & ~(uint32_t)KNOWN_TYPES)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    if (s->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_NONE)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    s->types = types;
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t set_key(struct steering *s, const uint32_t *data, steering_fetch fetch, void *context)
{
    uint8_t key[STEERING_KEY_BYTES] = {0};
    if (data[1] > STEERING_KEY_BYTES)
        return XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW;
    if (data[1] && fetch(context, data[0], key, data[1]))
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    memcpy(s->key, key, sizeof(key));
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t set_mapping_size(struct steering *s, uint32_t size)
{
    if (size > STEERING_MAPPING)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    s->mapping_size = size;
    memset(s->mapping, 0, sizeof(s->mapping));
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t set_mapping(struct steering *s, const uint32_t *data, unsigned queues, steering_fetch fetch,
                            void *context)
{
    uint32_t part[STEERING_MAPPING];
    if (data[1] > s->mapping_size || data[2] > s->mapping_size - data[1])
        return data[1] > STEERING_MAPPING ? XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW
                                          : XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    if (data[1] && fetch(context, data[0], part, data[1] * (unsigned)sizeof(part[0])))
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    for (unsigned i = 0; i < data[1]; i++)
        if (part[i] >= queues)
            return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    memcpy(s->mapping + data[2], part, data[1] * sizeof(part[0]));
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

void steering_request(struct steering *s, const struct xen_netif_ctrl_request *r, unsigned queues,
                      steering_fetch fetch, void *context, struct xen_netif_ctrl_response *out)
{
    *out = (struct xen_netif_ctrl_response){
        .id = r->id, .type = r->type, .status = XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED};
    switch (r->type) {
    case XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
        out->status = XEN_NETIF_CTRL_STATUS_SUCCESS;
        out->data = KNOWN_TYPES;
        break;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
        out->status = set_types(s, r->data[0]);
        break;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
        out->status = set_key(s, r->data, fetch, context);
        break;
    case XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
        out->status = XEN_NETIF_CTRL_STATUS_SUCCESS;
        out->data = STEERING_MAPPING;
        break;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
        out->status = set_mapping_size(s, r->data[0]);
        break;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
        out->status = set_mapping(s, r->data, queues, fetch, context);
        break;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM:
        out->status = set_algorithm(s, r->data[0]);
        break;
    case XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE:
        out->status = XEN_NETIF_CTRL_STATUS_SUCCESS; /* 0: no fixed mappings, packets are copied */
        break;
    default:
        break;
    }
}

uint32_t steering_toeplitz(const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t bytes)
{
    uint64_t window = 0;
    uint32_t hash = 0;
    size_t next = 0;
    for (; next < 8; next++)
        window = window << 8 | (next < key_bytes ? key[next] : 0);
    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 7; bit >= 0; bit--) {
            if (data[i] >> bit & 1)
                hash ^= (uint32_t)(window >> 32);
            window <<= 1;
        }
        window |= next < key_bytes ? key[next] : 0;
        next++;
    }
    return hash;
}

/* Gathers what the hash covers; returns its type's bit number, -1 for none. */
static int hash_input(uint32_t types, const uint8_t *frame, size_t bytes, uint8_t *input, size_t *length)
{
    struct frame_headers h;
    if (!frame_parse(frame, bytes, &h) || h.l4 == 0)
        return -1;
    bool v4 = h.protocol == TYPE_IPV4;
    unsigned addresses = v4 ? 8 : 32;
    int with_ports = v4 ? _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP : _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP;
    int without = v4 ? _XEN_NETIF_CTRL_HASH_TYPE_IPV4 : _XEN_NETIF_CTRL_HASH_TYPE_IPV6;
    bool tcp = h.ip_protocol == PROTOCOL_TCP && !h.fragment && bytes >= h.l4 + 4;
    memcpy(input, frame + h.l3 + (v4 ? 12 : 8), addresses);
    *length = addresses;
    if (tcp && types >> with_ports & 1) {
        memcpy(input + addresses, frame + h.l4, 4);
        *length += 4;
        return with_ports;
    }
    return types >> without & 1 ? without : -1;
}

unsigned steering_queue(const struct steering *s, const uint8_t *frame, size_t bytes, unsigned queues,
                        int *hash_type, uint32_t *hash)
{
    static const uint8_t our_key[16] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2,
                                        0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0};
    uint8_t input[36];
    size_t length = 0;
    bool asked = s->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ && s->types;
    *hash_type = -1;
    if (!asked && queues == 1)
        return 0;
    int type = hash_input(asked ? s->types : (uint32_t)KNOWN_TYPES, frame, bytes, input, &length);
    if (type < 0)
        return 0;
    if (!asked)
        return steering_toeplitz(our_key, sizeof(our_key), input, length) % queues;
    *hash_type = type;
    *hash = steering_toeplitz(s->key, sizeof(s->key), input, length);
    unsigned queue = s->mapping_size ? s->mapping[*hash % s->mapping_size] : *hash;
    return queue % queues;
}

bool steering_mcast_wanted(const struct steering *s, const uint8_t *address)
{
    for (uint32_t i = 0; i < s->mcast_count; i++)
        if (memcmp(s->mcast[i], address, 6) == 0)
            return true;
    return false;
}

bool steering_mcast_add(struct steering *s, const uint8_t *address)
{
    if (steering_mcast_wanted(s, address))
        return true;
    if (s->mcast_count >= STEERING_MCAST)
        return false;
    memcpy(s->mcast[s->mcast_count++], address, 6);
    return true;
}

void steering_mcast_remove(struct steering *s, const uint8_t *address)
{
    for (uint32_t i = 0; i < s->mcast_count; i++) {
        if (memcmp(s->mcast[i], address, 6) == 0) {
            memcpy(s->mcast[i], s->mcast[--s->mcast_count], 6);
            return;
        }
    }
}
