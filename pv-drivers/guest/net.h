/* The small network stack's inside: Ethernet, ARP, IPv4 and ICMP in net.c, TCP in tcp.c. */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "kernel.h"

#define NET_HEADERS  54u /* Ethernet, IPv4, TCP without options */
#define TCP_MSS      1460u
#define TCP_BUFFER   65536u
#define TCP_SESSIONS 8u

enum tcp_service { TCP_ECHO, TCP_DISCARD, TCP_CHARGEN, TCP_CLIENT };
enum tcp_state { TCP_FREE, TCP_SYN_SENT, TCP_SYN_RECEIVED, TCP_ESTABLISHED, TCP_FIN_SENT };

struct tcp_session {
    enum tcp_state state;
    enum tcp_service service;
    uint8_t mac[6];
    uint32_t address; /* network order */
    uint16_t local, remote;
    uint32_t una, next; /* ours: oldest unacknowledged, next to send */
    uint32_t top;       /* ours: behind the last that was ever sent */
    uint32_t recover;   /* ours: what was under way when a segment was found lost ends here */
    uint32_t expected;  /* theirs */
    uint32_t window;    /* theirs */
    uint32_t buffered;  /* bytes in `data`, the first of which is byte `una` */
    uint64_t to_send;   /* client: bytes that still have to be put into the buffer */
    uint64_t made;      /* bytes put there of our own making */
    uint64_t received;
    bool peer_done, ack_now;
    bool repeat; /* the oldest segment is to be sent once more */
    unsigned duplicates;
    uint64_t resend_at;
    uint8_t *data; /* TCP_BUFFER, a ring indexed by sequence number */
};

struct net {
    struct netfront *front;
    uint32_t address; /* network order */
    uint8_t *frame;   /* the one just received */
    frame_watch *watch;
    uint8_t gateway_mac[6];
    uint32_t gateway; /* whose address gateway_mac is; 0: not known */
    struct tcp_session session[TCP_SESSIONS];
};

static inline uint16_t net_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t net_get32(const uint8_t *p)
{
    return (uint32_t)net_get16(p) << 16 | net_get16(p + 2);
}

static inline void net_put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void net_put32(uint8_t *p, uint32_t value)
{
    net_put16(p, value >> 16);
    net_put16(p + 2, value);
}

uint32_t net_sum(const uint8_t *p, size_t bytes, uint32_t start);
uint16_t net_fold(uint32_t value);

/* Starts an IPv4 packet in a transmit page; NULL when none is free. Payload goes to page + 34. */
uint8_t *net_start(struct net *n, const uint8_t *mac, unsigned *number);
/* Completes the IPv4 header and sends. */
void net_finish(struct net *n, unsigned number, uint32_t to, uint8_t protocol, unsigned payload,
                bool checksum_open);

/* A TCP segment: the frame from the IP header on has bytes bytes, the IP header header bytes. */
void tcp_input(struct net *n, const uint8_t *ip, unsigned header, unsigned bytes, const uint8_t *mac);
/* Sends what can be sent, and again what was not acknowledged in time. */
void tcp_run(struct net *n);
struct tcp_session *tcp_connect(struct net *n, uint32_t to, unsigned port, uint64_t bytes);

#endif
