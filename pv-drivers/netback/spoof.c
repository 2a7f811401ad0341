#include "spoof.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "packet.h"

#define TYPE_IPV4 0x0800
#define TYPE_ARP  0x0806
#define TYPE_IPV6 0x86dd

static bool parse_mac(const char *text, uint8_t *out)
{
    unsigned v[6];
    char rest;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &rest) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        out[i] = (uint8_t)v[i];
    return true;
}

static const char *add_address(struct spoof_rules *r, const char *text)
{
    if (r->count4 >= SPOOF_ADDRESSES || r->count6 >= SPOOF_ADDRESSES)
        return "too many addresses";
    if (inet_pton(AF_INET, text, r->ipv4[r->count4]) == 1)
        r->count4++;
    else if (inet_pton(AF_INET6, text, r->ipv6[r->count6]) == 1)
        r->count6++;
    else
        return "an address is neither IPv4 nor IPv6";
    return NULL;
}

const char *spoof_set(struct spoof_rules *r, const char *mac, const char *addresses)
{
    char copy[1024], *rest = NULL;
    if (!parse_mac(mac, r->mac))
        return "the MAC address is not of the form aa:bb:cc:dd:ee:ff";
    r->count4 = r->count6 = 0;
    snprintf(copy, sizeof(copy), "%s", addresses);
    for (char *word = strtok_r(copy, " ,", &rest); word; word = strtok_r(NULL, " ,", &rest)) {
        char *slash = strchr(word, '/');
        if (slash)
            *slash = '\0';
        const char *wrong = add_address(r, word);
        if (wrong)
            return wrong;
    }
    r->enabled = true;
    return NULL;
}

static bool own4(const struct spoof_rules *r, const uint8_t *address)
{
    static const uint8_t none[4];
    if (r->count4 + r->count6 == 0 || memcmp(address, none, 4) == 0)
        return true; /* no list: only the MAC is checked; 0.0.0.0 is how DHCP and ARP probes start */
    for (unsigned i = 0; i < r->count4; i++)
        if (memcmp(r->ipv4[i], address, 4) == 0)
            return true;
    return false;
}

static bool own6(const struct spoof_rules *r, const uint8_t *address)
{
    static const uint8_t none[16];
    if (r->count4 + r->count6 == 0 || memcmp(address, none, 16) == 0)
        return true;
    for (unsigned i = 0; i < r->count6; i++)
        if (memcmp(r->ipv6[i], address, 16) == 0)
            return true;
    return false;
}

bool spoof_allows(const struct spoof_rules *r, const uint8_t *frame, size_t bytes)
{
    struct frame_headers h;
    if (!r->enabled)
        return true;
    if (!frame_parse(frame, bytes, &h) || memcmp(frame + 6, r->mac, 6) != 0)
        return false;
    if (h.l3 != 14)
        return false; /* the guest may not choose a VLAN */
    if (h.protocol == TYPE_IPV4)
        return own4(r, frame + h.l3 + 12);
    if (h.protocol == TYPE_IPV6)
        return own6(r, frame + h.l3 + 8);
    if (h.protocol == TYPE_ARP)
        return bytes >= h.l3 + 28 && memcmp(frame + h.l3 + 8, r->mac, 6) == 0 && own4(r, frame + h.l3 + 14);
    return true;
}
