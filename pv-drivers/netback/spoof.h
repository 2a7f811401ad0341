/* Who a guest may say it is: one MAC address and a few IP addresses. */
#ifndef NETBACK_SPOOF_H
#define NETBACK_SPOOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOF_ADDRESSES 16

struct spoof_rules {
    bool enabled;
    uint8_t mac[6];
    unsigned count4, count6;
    uint8_t ipv4[SPOOF_ADDRESSES][4];
    uint8_t ipv6[SPOOF_ADDRESSES][16];
};

/* Reads "aa:bb:cc:dd:ee:ff" and addresses separated by spaces or commas. Returns NULL or what is wrong. */
const char *spoof_set(struct spoof_rules *rules, const char *mac, const char *addresses);
/* True when a frame's source addresses (Ethernet, ARP, IPv4, IPv6) are the guest's own. */
bool spoof_allows(const struct spoof_rules *rules, const uint8_t *frame, size_t bytes);

#endif
